// Entry point of an orchestrator's worker.
#pragma once

namespace tensorrt_llm::simulation {

/// Does a rank's share until the orchestrator dismisses it. Throws std::runtime_error where nobody started
/// it.
void work_for_orchestrator();

}  // namespace tensorrt_llm::simulation
