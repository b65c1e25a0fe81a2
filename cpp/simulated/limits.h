// Limits of one executor: those of the build combined with the caller's settings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bareflight/cpp/simulated/profile.h"
#include "tensorrt_llm/executor/config.h"

namespace tensorrt_llm::simulation {

struct Limits {
    std::int32_t max_batch_size;
    std::int32_t max_num_tokens;
    std::int32_t max_input_len;
    std::int32_t max_seq_len;
    std::int32_t max_beam_width;
    std::int32_t vocab_size;
    /// Most draft tokens of one step, from any source.
    std::int32_t draft_len;
    /// Drafts that may come with a request.
    std::int32_t external_drafts;
    std::int32_t kv_blocks;
    std::int32_t tokens_per_block;
    bool chunked_context;
    bool block_reuse;
    /// Size of the buffer of KV cache events; 0 for none.
    std::size_t kv_event_buffer;
    bool equal_progress;
    bool max_utilization;
    bool orchestrator;
    /// Adapters lie in a folder that the executor reads by itself: every task id is known.
    bool lora_prefetched;
    std::optional<std::int32_t> max_queue_size;
};

/// Throws std::runtime_error when a setting exceeds what the engine was built for.
Limits resolve_limits(Profile const& profile, executor::ExecutorConfig const& config);

}  // namespace tensorrt_llm::simulation
