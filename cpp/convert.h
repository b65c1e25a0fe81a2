// Conversion of our plain values to the executor's (executor_settings.cc, convert.cc), and of its responses
// to ours.
#pragma once

#include <cstdint>

#include "bareflight/cpp/engine.h"
#include "tensorrt_llm/executor/executor.h"

/// One per executor library, so that several can live in one program.
#ifndef BAREFLIGHT_ENGINE_NAMESPACE
#define BAREFLIGHT_ENGINE_NAMESPACE trtllm
#endif

namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE {

tensorrt_llm::executor::ExecutorConfig make_config(Settings const& settings);

/// `head` says where prompt and drafts are in `tokens`. Throws what the request's constructor throws (empty
/// prompt, `max_tokens` not positive, sampling out of range).
tensorrt_llm::executor::Request make_request(RequestHead const& head, std::int32_t const* tokens,
                                             Words const& words);

/// Appends one delivery of request `id`, without the first `delivered` tokens of a result that repeats them.
void append_result(std::uint64_t id, std::int64_t received_ns, tensorrt_llm::executor::Result const& result,
                   std::size_t delivered, Batch& batch);
void append_error(std::uint64_t id, std::int64_t received_ns, std::string const& message, Batch& batch);

}  // namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE
