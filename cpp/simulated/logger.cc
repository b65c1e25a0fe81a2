// Log of the library: one line per message, at the level that the environment says.
#include "bareflight/cpp/simulated/logger.h"

#include <array>
#include <cstdlib>
#include <iostream>

namespace tensorrt_llm::simulation {

namespace {

constexpr std::array<char const*, 5> kNames{"TRACE", "DEBUG", "INFO", "WARNING", "ERROR"};

LogLevel level_of_environment() {
    auto const* const word = std::getenv("TLLM_LOG_LEVEL");
    for (std::size_t i = 0; word != nullptr && i < kNames.size(); ++i) {
        if (std::string(kNames.at(i)) == word) {
            return static_cast<LogLevel>(i);
        }
    }
    return LogLevel::Info;
}

}  // namespace

void log(LogLevel level, std::string const& message) {
    thread_local LogLevel const least = level_of_environment();
    if (level < least) {
        return;
    }
    // By the logger's level and not by the line's, as the original does it.
    auto& out = least < LogLevel::Warning ? std::cout : std::cerr;
    out << std::string("[TensorRT-LLM][") + kNames.at(static_cast<std::size_t>(level)) + "] " + message + "\n"
        << std::flush;
}

}  // namespace tensorrt_llm::simulation
