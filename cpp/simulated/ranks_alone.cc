// Ranks without MPI: one process, however many GPUs it simulates.
#ifndef SIMULATED_MPI
#include "bareflight/cpp/simulated/ranks.h"

namespace tensorrt_llm::simulation {

std::unique_ptr<Ranks> join_ranks(std::int32_t /*wanted*/, std::string const& /*worker*/) {
    return std::make_unique<Ranks>();
}

}  // namespace tensorrt_llm::simulation
#endif
