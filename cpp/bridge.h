// C++ side of the bridge: the handle of an engine and the buffers of one consumer, as declared in
// ffi/bridge.rs.
//
// The shared structs are only declared here: the generated header, which defines them, includes this file.
#pragma once

#include <cxxabi.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <typeinfo>

#include "rust/cxx.h"

namespace rust::behavior {

/// Of `std::exception` the text, of anything else the type: no exception crosses the line unnamed.
template <typename Try, typename Fail>
void trycatch(Try&& attempt, Fail&& fail) noexcept try {
    attempt();
} catch (std::exception const& error) {
    fail(error.what());
} catch (...) {
    auto const* type = abi::__cxa_current_exception_type();
    int status = 0;
    std::unique_ptr<char, decltype(&std::free)> const name(
        type != nullptr ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &status) : nullptr, &std::free);
    fail(std::string("C++ threw an exception that is not a std::exception, of type ") +
         (name ? name.get() : "unknown"));
}

}  // namespace rust::behavior

namespace bareflight {

class Engine;
struct Batch;
struct EngineConfig;
struct Sequences;
struct RequestHead;
struct Rejection;
struct Delivery;
struct Ending;
struct KvEvents;
struct RawLoop;

class EngineHandle {
  public:
    explicit EngineHandle(std::unique_ptr<Engine> engine);
    ~EngineHandle();

    rust::String version() const;
    rust::Vec<Rejection> submit(rust::Slice<RequestHead const> heads,
                                rust::Slice<std::int32_t const> prompt_tokens) const;
    void set_words(Sequences const& stop, Sequences const& bad) const;
    void cancel(std::uint64_t id) const;
    rust::Vec<rust::String> iteration_stats() const;
    KvEvents kv_events() const;
    void shutdown() const;

    Engine& engine() const { return *mEngine; }

  private:
    std::unique_ptr<Engine> mEngine;
};

class Pump {
  public:
    explicit Pump(std::shared_ptr<EngineHandle> engine);
    ~Pump();

    std::size_t poll(std::uint32_t timeout_us);
    rust::Slice<Delivery const> deliveries() const;
    rust::Slice<std::int32_t const> tokens() const;
    rust::Slice<Ending const> endings() const;
    rust::Str error(std::int32_t index) const;

  private:
    std::shared_ptr<EngineHandle> mEngine;
    std::unique_ptr<Batch> mBatch;
};

std::shared_ptr<EngineHandle> open_simulated(EngineConfig const& config);
rust::String describe_simulated(rust::Str profile);
#ifdef BAREFLIGHT_TRTLLM
std::shared_ptr<EngineHandle> open_trtllm(EngineConfig const& config);
void run_worker_rank_trtllm(EngineConfig const& config);
rust::String trtllm_version();
#endif
std::unique_ptr<Pump> new_pump(std::shared_ptr<EngineHandle> const& engine);
RawLoop raw_loop_simulated(EngineConfig const& config, std::uint64_t requests, std::uint32_t concurrency,
                           std::uint32_t prompt_len, std::int32_t max_tokens);

}  // namespace bareflight
