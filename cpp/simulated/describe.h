// Description of a profile as JSON: limits, costs, behaviour, and the source of each figure.
#pragma once

#include <string>

namespace tensorrt_llm::simulation {

/// `model` as the executor takes it. Throws std::runtime_error when it is not a profile.
std::string describe(std::string const& model);

}  // namespace tensorrt_llm::simulation
