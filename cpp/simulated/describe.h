// How is a profile shown to a reader of results? As JSON: limits, costs, behaviour, and where each figure
// comes from.
#pragma once

#include <string>

namespace tensorrt_llm::simulation {

/// `model` as the executor takes it. Throws std::runtime_error when it is not a profile.
std::string describe(std::string const& model);

}  // namespace tensorrt_llm::simulation
