// Capacity scheduling: which active sequences may run, given the KV memory.
#pragma once

#include <vector>

#include "bareflight/cpp/simulated/block_pool.h"
#include "bareflight/cpp/simulated/limits.h"
#include "bareflight/cpp/simulated/sequence.h"

namespace tensorrt_llm::simulation {

struct Admission {
    /// In the order of the active set.
    std::vector<Sequence*> runnable;
    std::int32_t paused = 0;
};

/// Fills `admission`. GUARANTEED_NO_EVICT admits a sequence when its largest extent fits beside what the
/// others may still take; MAX_UTILIZATION when its next step fits, and pauses from the tail of the active set
/// when one does not.
void admit(ActiveSet const& active, Limits const& limits, BlockPool& pool, Admission& admission);

/// Names what a sequence computed, gives its blocks back and sends it to the start of its context phase.
void evict(Sequence& sequence, Limits const& limits, BlockPool& pool);

/// Names the full blocks of a sequence's computed tokens, so that others may reuse them.
void name_blocks(Sequence const& sequence, BlockPool& pool);

/// Blocks of `sequence`'s context that the cache has; at least one token stays to be computed.
std::int32_t reusable_blocks(Sequence const& sequence, BlockPool const& pool);

}  // namespace tensorrt_llm::simulation
