// Timestamp format of the iteration statistics.
#include "bareflight/cpp/simulated/statistics.h"

#include <sys/time.h>
#include <time.h>

#include <cstdio>

namespace tensorrt_llm::simulation {

std::string timestamp_now() {
    timeval now{};
    gettimeofday(&now, nullptr);
    tm local{};
    localtime_r(&now.tv_sec, &local);
    char date[32];
    strftime(date, sizeof date, "%m-%d-%Y %H:%M:%S", &local);
    char text[48];
    std::snprintf(text, sizeof text, "%s.%06ld", date, static_cast<long>(now.tv_usec));
    return text;
}

}  // namespace tensorrt_llm::simulation
