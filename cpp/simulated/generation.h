// Token generation of one step of a sequence, and whether the sequence ends with it.
#pragma once

#include "bareflight/cpp/simulated/profile.h"
#include "bareflight/cpp/simulated/sequence.h"
#include "tensorrt_llm/executor/response.h"

namespace tensorrt_llm::simulation {

/// Tokens `[first, first + count)` of the sequence's output.
struct Step {
    std::int32_t first = 0;
    std::int32_t count = 0;
    std::int32_t drafted = 0;
    std::int32_t accepted = 0;
};

/// Advances `sequence` by one step. A decoding step may accept the engine's own drafts, the step that ends a
/// context those that came with the request.
Step generate(Sequence& sequence, Behaviour const& behaviour, bool decoding);

/// The response that carries `step`; nothing when a request that does not stream has not finished. Call it
/// after the job's `open_sequences` no longer counts a finished sequence.
std::optional<executor::Response> respond(Sequence const& sequence, Step const& step,
                                          std::int32_t vocab_size);

}  // namespace tensorrt_llm::simulation
