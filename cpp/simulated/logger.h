// Log of the library, as the original writes it: below WARNING to standard output, from WARNING on to
// standard error, of the level that TLLM_LOG_LEVEL says, which each thread reads once.
#pragma once

#include <string>

namespace tensorrt_llm::simulation {

enum class LogLevel { Trace, Debug, Info, Warning, Error };

void log(LogLevel level, std::string const& message);

}  // namespace tensorrt_llm::simulation
