// Micro-batch of the next iteration: the token budget shared among the sequences that may run.
#pragma once

#include <vector>

#include "bareflight/cpp/simulated/cost_model.h"
#include "bareflight/cpp/simulated/limits.h"
#include "bareflight/cpp/simulated/sequence.h"

namespace tensorrt_llm::simulation {

struct ContextChunk {
    Sequence* sequence;
    std::int32_t tokens;
};

struct Microbatch {
    std::vector<ContextChunk> context;
    std::vector<Sequence*> generation;

    bool empty() const { return context.empty() && generation.empty(); }
    IterationLoad load() const;
};

/// Generation first, then context, by chunks where they are enabled; both in the order of `runnable`.
void fill(std::vector<Sequence*> const& runnable, Limits const& limits, Microbatch& batch);

}  // namespace tensorrt_llm::simulation
