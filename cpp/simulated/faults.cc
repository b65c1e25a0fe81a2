// Exceptions of the executor's calls, and calls that never return, where a profile asks for them.
#include "bareflight/cpp/simulated/faults.h"

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace tensorrt_llm::simulation {

namespace {

constexpr char const* kCallNames[kCalls] = {"open",       "enqueue",   "await",   "cancel",
                                            "statistics", "kv_events", "shutdown"};

}  // namespace

void Faults::pass(Call call) {
    auto const index = static_cast<std::size_t>(call);
    auto const number = mCalls[index].fetch_add(1) + 1;
    if (call == Call::kStatistics && mAt.statistics_hang != 0 && number >= mAt.statistics_hang) {
        for (;;) {
            std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }
    if (mAt.call[index] == 0 || number < mAt.call[index]) {
        return;
    }
    if (mAt.other_type) {
        throw static_cast<int>(index);
    }
    throw std::runtime_error(std::string("simulated exception of the call ") + kCallNames[index] +
                             ", number " + std::to_string(number));
}

}  // namespace tensorrt_llm::simulation
