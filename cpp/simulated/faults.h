// Exceptions of the executor's calls, and calls that never return, where a profile asks for them. Of the
// simulation alone.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace tensorrt_llm::simulation {

/// Calls of the executor API that can be made to throw.
enum class Call { kOpen, kEnqueue, kAwait, kCancel, kStatistics, kKvEvents, kShutdown };

constexpr std::size_t kCalls = 7;

/// From which call of each kind on an exception comes; 0 for never.
struct ThrowsAt {
    std::array<std::int64_t, kCalls> call{};
    /// An `int` instead of a `std::runtime_error`.
    bool other_type = false;
    /// From which call for statistics on none returns; 0 for never.
    std::int64_t statistics_hang = 0;
};

class Faults {
  public:
    explicit Faults(ThrowsAt const& at) : mAt(at) {}

    /// Counts one call, and throws, or never returns, if its turn has come.
    void pass(Call call);

  private:
    ThrowsAt const mAt;
    std::array<std::atomic<std::int64_t>, kCalls> mCalls{};
};

}  // namespace tensorrt_llm::simulation
