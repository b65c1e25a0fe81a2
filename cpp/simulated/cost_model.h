// Cost model of one iteration, a pure function of what the iteration runs.
#pragma once

#include <cstdint>

namespace tensorrt_llm::simulation {

/// Work of one iteration, summed over its requests.
struct IterationLoad {
    /// Prompt tokens computed in this iteration, reused ones not included.
    std::int64_t context_tokens = 0;
    /// Sequences that decode one step, each beam counted.
    std::int64_t decode_sequences = 0;
    /// Tokens whose keys and values are read from the cache.
    std::int64_t kv_tokens = 0;
};

/// Linear costs plus an optional roofline; all in nanoseconds, as doubles since a coefficient may be below
/// one.
struct CostModel {
    double base_ns = 0;
    double prefill_ns_per_token = 0;
    double decode_ns_per_sequence = 0;
    double kv_ns_per_token = 0;

    /// The roofline takes the slower of memory traffic and arithmetic, then adds communication.
    struct Roofline {
        double weights_ns = 0;
        double kv_ns_per_token = 0;
        double compute_ns_per_token = 0;
        double communication_ns = 0;
        double communication_ns_per_token = 0;
    };
    Roofline roofline;
    /// A decoding sequence computes `1 + draft_tokens` tokens per iteration.
    std::int64_t draft_tokens = 0;

    bool free_of_charge() const;
    /// Nanoseconds; 0 for an iteration that runs nothing.
    std::int64_t iteration_cost_ns(IterationLoad const& load) const;
};

}  // namespace tensorrt_llm::simulation
