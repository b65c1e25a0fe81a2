// Log of the library, as the original writes it: of the level that TLLM_LOG_LEVEL says, which each thread
// reads once; every line goes to standard output where that level is below WARNING, else to standard error.
#pragma once

#include <string>

namespace tensorrt_llm::simulation {

enum class LogLevel { Trace, Debug, Info, Warning, Error };

void log(LogLevel level, std::string const& message);

}  // namespace tensorrt_llm::simulation
