// Abstract engine: a queue of requests in, deliveries out. No type of an executor library leaks through it.
//
// Threads: every method may be called from any thread, but only one thread polls at a time.
// Errors: methods throw; a refused request is a value, and a request that fails later ends by a delivery.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "bareflight/ffi/bridge.rs.h"

namespace bareflight {

/// Executor settings in plain C++; 0, empty or unset leaves a setting to the engine (see `EngineConfig`).
struct Settings {
    std::string model;
    std::int32_t max_batch_size = 0;
    std::int32_t max_num_tokens = 0;
    std::int32_t max_queue_size = 0;
    std::int32_t max_beam_width = 0;
    CapacityPolicy capacity_policy = CapacityPolicy::GuaranteedNoEvict;
    ChunkingPolicy chunking_policy = ChunkingPolicy::FirstComeFirstServed;
    bool enable_chunked_context = true;
    bool kv_block_reuse = false;
    bool kv_partial_reuse = false;
    std::int32_t kv_max_tokens = 0;
    float kv_free_gpu_fraction = 0;
    std::uint64_t kv_host_cache_bytes = 0;
    std::vector<std::int32_t> kv_attention_windows;
    std::int32_t kv_sink_tokens = 0;
    /// Size of the buffer of KV cache events; 0 for none.
    std::uint64_t kv_event_buffer = 0;
    std::int32_t iteration_stats_ring = 0;
    bool cuda_graphs = false;
    std::int32_t cuda_graph_cache_size = 0;
    bool multi_block_mode = true;
    float gpu_weights_fraction = 0;
    std::vector<std::int32_t> device_ids;
    DecodingKind decoding = DecodingKind::Unset;
    std::int32_t lookahead_window = 0;
    std::int32_t lookahead_ngram = 0;
    std::int32_t lookahead_verification = 0;
    std::vector<std::vector<std::int32_t>> draft_choices;
    std::uint64_t lora_host_cache_bytes = 0;
    float lora_device_cache_fraction = 0;
    std::int32_t lora_max_rank = 0;
    std::string lora_prefetch_dir;
    /// Path of the worker program: orchestrator mode. Empty: leader mode.
    std::string orchestrator_worker;
};

/// Sequences of tokens that end a request, and that it may not produce.
struct Words {
    std::list<std::vector<std::int32_t>> stop;
    std::list<std::vector<std::int32_t>> bad;
};

/// Reason why a request of a batch was refused.
struct Refusal {
    std::uint64_t id;
    RejectionKind kind;
    std::string message;
};

/// Deliveries of one poll; `clear` keeps the memory.
struct Batch {
    std::vector<Delivery> deliveries;
    std::vector<std::int32_t> tokens;
    std::vector<Ending> endings;
    std::vector<std::string> errors;

    void clear() {
        deliveries.clear();
        tokens.clear();
        endings.clear();
        errors.clear();
    }
};

/// KV cache events, in the form of ffi/bridge.rs.
struct KvEventBatch {
    std::vector<KvEvent> events;
    std::vector<std::uint64_t> numbers;
};

class Engine {
  public:
    virtual ~Engine() = default;

    /// The version string of the library behind it.
    virtual std::string version() const = 0;
    /// Hands over `count` requests whose prompts lie in `tokens[0..token_count]`; appends the refused ones.
    /// Throws std::out_of_range when a prompt lies outside `tokens`; nothing was handed over then.
    virtual void submit(RequestHead const* heads, std::size_t count, std::int32_t const* tokens,
                        std::size_t token_count, std::vector<Refusal>& refusals) = 0;
    /// Of every request submitted from now on.
    virtual void set_words(Words words) = 0;
    /// Waits up to `timeout` (rounded up to a millisecond) and replaces `batch` with all that is ready.
    virtual void poll(std::chrono::microseconds timeout, Batch& batch) = 0;
    /// Ignored for an unknown or finished id.
    virtual void cancel(std::uint64_t id) = 0;
    /// Drains the iteration statistics, one JSON object each.
    virtual std::vector<std::string> iteration_stats() = 0;
    /// Drains the events of the KV cache; none without a buffer for them.
    virtual KvEventBatch kv_events() = 0;
    /// Waits for calls in flight, then shuts the executor down. Afterwards `poll` gives nothing, `submit`
    /// refuses.
    virtual void shutdown() = 0;
};

namespace simulated {
/// Opens the simulated executor. Throws what its constructor throws.
std::unique_ptr<Engine> open_engine(Settings const& settings);
}  // namespace simulated

namespace trtllm {
/// Opens TensorRT-LLM's executor; defined where the program was built with the feature `trtllm`. Throws what
/// its constructor throws.
std::unique_ptr<Engine> open_engine(Settings const& settings);
/// Loads this rank's part of the engine and returns when the leader has shut down. Throws what the executor's
/// constructor throws, and std::runtime_error in the leader.
void run_worker_rank(Settings const& settings);
}  // namespace trtllm

}  // namespace bareflight
