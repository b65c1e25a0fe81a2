// Pacing of iterations: modelled time on the wall clock, without drift.
#pragma once

#include <chrono>
#include <optional>

#include "bareflight/cpp/simulated/profile.h"
#include "bareflight/cpp/simulated/sequence.h"

namespace tensorrt_llm::simulation {

/// Sleeps until this long before an instant and spins the rest: a wake-up from sleep is late by tens of
/// microseconds.
constexpr std::chrono::microseconds kSpin{50};
/// While work is continuous an iteration begins at the ideal end of the one before, however late the thread
/// woke; lateness beyond this (a host that was taken away, a loop slower than its own model) is not made up
/// for.
constexpr std::chrono::milliseconds kLongestCatchUp{10};

/// Used by the execution thread only.
class Pacer {
  public:
    explicit Pacer(Behaviour const& behaviour);

    /// Names the thread that will wait, and asks the kernel for wake-ups of it as exact as it can; call it on
    /// that thread.
    static void own_this_thread();

    /// The engine has nothing to do: the next iteration begins when it begins.
    void rest() { mIdealEnd.reset(); }
    /// The first request's arrival starts the clock of the planned stall.
    void first_arrival(Clock::time_point now);
    /// Returns at once unless the engine is in its planned stall.
    void wait_out_stall();
    /// Returns when an iteration of `cost` that begins now, ideally, has ended.
    void spend(std::chrono::nanoseconds cost);

  private:
    struct Stall {
        Clock::time_point begin;
        Clock::time_point end;
    };

    std::optional<std::chrono::nanoseconds> mStallAfter;
    std::chrono::nanoseconds mStallLength{};
    std::optional<Stall> mStall;
    std::optional<Clock::time_point> mIdealEnd;
};

}  // namespace tensorrt_llm::simulation
