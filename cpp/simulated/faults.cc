// Exceptions of the executor's calls that a profile asks for.
#include "bareflight/cpp/simulated/faults.h"

#include <stdexcept>
#include <string>

namespace tensorrt_llm::simulation {

namespace {

constexpr char const* kCallNames[kCalls] = {"open",       "enqueue",   "await",   "cancel",
                                            "statistics", "kv_events", "shutdown"};

}  // namespace

void Faults::pass(Call call) {
    auto const index = static_cast<std::size_t>(call);
    auto const number = mCalls[index].fetch_add(1) + 1;
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
