// Entry point of an orchestrator's worker.
#pragma once

namespace tensorrt_llm::simulation {

/// Does a rank's share until the orchestrator dismisses it. Throws std::runtime_error when it was not started
/// by an orchestrator.
void work_for_orchestrator();

}  // namespace tensorrt_llm::simulation
