// State of one sequence, read by the scheduler and advanced by each iteration.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "bareflight/cpp/simulated/token_source.h"
#include "tensorrt_llm/executor/request.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::simulation {

using Clock = std::chrono::steady_clock;

/// A request as the execution loop fetched it; `numReturnSequences` sequences share one.
struct Job {
    executor::IdType id;
    executor::Request::Fields request;
    Clock::time_point arrived;
    std::int32_t prompt_len;
    /// Clamped to what the sequence length leaves.
    std::int32_t max_tokens;
    std::int32_t min_tokens;
    /// -1 = none.
    std::int32_t end_id;
    std::int32_t beam_width;
    std::int32_t return_beams;
    /// Each response carries all tokens so far.
    bool cumulative;
    std::int32_t open_sequences;
    /// Hash chain of the prompt's full blocks.
    std::vector<std::uint64_t> prompt_chain;
    std::uint64_t chain_root;
    /// Chain over the whole prompt, which its first token follows from.
    std::uint64_t prompt_prefix;
    /// Tokens that another engine proposes; the one step that verifies them ends the request.
    executor::VecTokens drafts;
};

struct Sequence {
    std::shared_ptr<Job> job;
    std::int32_t index = 0;
    TokenSource tokens;

    /// Tokens the context phase must compute: the prompt, and after a pause also what was generated.
    std::int32_t context_len = 0;
    /// How many of those are in the cache.
    std::int32_t prefilled = 0;
    std::int32_t generated = 0;
    /// Generated tokens, and the hash chain over the prompt and all of them.
    std::vector<std::int32_t> output;
    std::uint64_t prefix = 0;
    /// Held KV blocks; empty while the sequence waits to be admitted.
    std::vector<std::int32_t> blocks;
    bool started = false;
    std::optional<executor::FinishReason> finished;
    /// Cancelled or out of time: it ends with the next iteration that works on it, and not before.
    std::optional<executor::FinishReason> ending;

    executor::RequestPerfMetrics perf;
    std::int32_t decoding_iterations = 0;
    bool paused = false;

    /// Generates one more token.
    void append();
    /// Ends it early, without the tokens that it has made.
    void end_early();
    /// Keeps the first `count` tokens of the output alone.
    void forget_after(std::int32_t count);
    /// Of the output; rows beyond the first are those of other beams.
    std::int32_t token(std::int32_t at, std::int32_t beam = 0) const;

    bool in_context() const { return prefilled < context_len; }
    /// Tokens of prompt and output so far.
    std::int32_t length() const { return job->prompt_len + generated; }
    /// Blocks that hold `length` tokens; beams share the prompt only.
    std::int32_t blocks_for(std::int32_t length, std::int32_t tokens_per_block) const;
    /// Blocks at the largest extent this sequence can reach.
    std::int32_t blocks_to_completion(std::int32_t tokens_per_block, std::int32_t draft_len) const;
};

inline std::int32_t blocks_of(std::int32_t tokens, std::int32_t tokens_per_block) {
    return (tokens + tokens_per_block - 1) / tokens_per_block;
}

inline void Sequence::append() {
    output.push_back(tokens.token_after(prefix));
    prefix = chain(prefix, output.back());
    ++generated;
}

inline void Sequence::forget_after(std::int32_t count) {
    generated = count;
    output.resize(static_cast<std::size_t>(count));
    prefix = job->prompt_prefix;
    for (auto const token : output) {
        prefix = chain(prefix, token);
    }
}

inline void Sequence::end_early() {
    finished = ending;
    forget_after(0);
}

inline std::int32_t Sequence::token(std::int32_t at, std::int32_t beam) const {
    return beam == 0 ? output[static_cast<std::size_t>(at)]
                     : tokens.token_after(chain(job->prompt_prefix, at), beam);
}

inline std::int32_t Sequence::blocks_for(std::int32_t length, std::int32_t tokens_per_block) const {
    if (job->beam_width == 1 || length <= job->prompt_len) {
        return blocks_of(length, tokens_per_block);
    }
    return blocks_of(job->prompt_len, tokens_per_block) +
           job->beam_width * blocks_of(length - job->prompt_len, tokens_per_block);
}

inline std::int32_t Sequence::blocks_to_completion(std::int32_t tokens_per_block,
                                                   std::int32_t draft_len) const {
    return blocks_for(job->prompt_len + job->max_tokens + draft_len, tokens_per_block);
}

/// Ordered by priority, then by arrival; the loop owns them.
using ActiveSet = std::vector<std::unique_ptr<Sequence>>;

}  // namespace tensorrt_llm::simulation
