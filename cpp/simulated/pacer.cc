// Pacing of iterations: absolute sleeps, then a short spin.
#include "bareflight/cpp/simulated/pacer.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

namespace tensorrt_llm::simulation {

namespace {

std::chrono::nanoseconds from_ms(double ms) {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(ms * 1e6));
}

void sleep_until(Clock::time_point instant) {
    auto const ns = std::chrono::duration_cast<std::chrono::nanoseconds>(instant.time_since_epoch()).count();
    timespec at{};
    at.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    at.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
    }
}

void wait_until(Clock::time_point instant) {
    if (instant - Clock::now() > kSpin) {
        sleep_until(instant - kSpin);
    }
    while (Clock::now() < instant) {
    }
}

}  // namespace

Pacer::Pacer(Behaviour const& behaviour) {
    if (behaviour.stall_at_ms && behaviour.stall_ms) {
        mStallAfter = from_ms(*behaviour.stall_at_ms);
        mStallLength = from_ms(*behaviour.stall_ms);
    }
}

void Pacer::own_this_thread() {
    prctl(PR_SET_NAME, "simulated-loop", 0UL, 0UL, 0UL);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

void Pacer::first_arrival(Clock::time_point now) {
    if (mStallAfter) {
        mStall = Stall{now + *mStallAfter, now + *mStallAfter + mStallLength};
        mStallAfter.reset();
    }
}

void Pacer::wait_out_stall() {
    if (!mStall) {
        return;
    }
    auto const now = Clock::now();
    if (now >= mStall->begin && now < mStall->end) {
        wait_until(mStall->end);
        mIdealEnd = mStall->end;
    }
}

void Pacer::spend(std::chrono::nanoseconds cost) {
    if (cost.count() == 0) {
        return;
    }
    auto const now = Clock::now();
    auto const begin = std::max(mIdealEnd.value_or(now), now - kLongestCatchUp);
    auto end = begin + cost;
    if (mStall && begin < mStall->end && end > mStall->begin) {
        end += mStall->end - std::max(begin, mStall->begin);
    }
    mIdealEnd = end;
    wait_until(end);
}

}  // namespace tensorrt_llm::simulation
