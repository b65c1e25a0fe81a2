// Execution loop: fetch, end early, admit, run, answer, one iteration after the other.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "bareflight/cpp/simulated/block_pool.h"
#include "bareflight/cpp/simulated/capacity.h"
#include "bareflight/cpp/simulated/generation.h"
#include "bareflight/cpp/simulated/intake.h"
#include "bareflight/cpp/simulated/limits.h"
#include "bareflight/cpp/simulated/mailbox.h"
#include "bareflight/cpp/simulated/microbatch.h"
#include "bareflight/cpp/simulated/pacer.h"
#include "bareflight/cpp/simulated/profile.h"
#include "bareflight/cpp/simulated/ranks.h"
#include "bareflight/cpp/simulated/statistics.h"

namespace tensorrt_llm::simulation {

struct StatisticsRings {
    StatisticsRing<executor::IterationStats> iterations;
    StatisticsRing<executor::RequestStatsPerIteration> requests;
};

class ExecutionLoop {
  public:
    /// `events` may be null.
    ExecutionLoop(Profile const& profile, Limits const& limits, Ranks& ranks, Intake& intake,
                  Mailbox& mailbox, StatisticsRings& rings, KvEventBuffer* events);

    /// Returns when the intake's end marker is reached and no request is active.
    void run();

  private:
    /// What is known of an iteration when it is over: the statistics of the next one carry it.
    struct Outcome {
        double latency_ms = 0;
        std::int32_t completed = 0;
        std::int64_t drafted = 0;
        std::int64_t accepted = 0;
        std::int32_t drafting_requests = 0;
        std::int64_t decoded = 0;
    };

    /// Counts of one iteration, for its statistics.
    struct Tally {
        Clock::time_point started;
        Clock::time_point began;
        double queue_latency_ms = 0;
        std::int32_t fetched = 0;
        Outcome outcome;
    };

    void fetch();
    void activate(Queued&& queued, Clock::time_point now);
    void mark_cancelled_and_late();
    void iterate();
    void hold_memory();
    void start(Sequence& sequence);
    void hold(Sequence& sequence, std::int32_t blocks);
    void mark_scheduled(Clock::time_point now);
    void advance(Clock::time_point now);
    void step(Sequence& sequence, bool decoding, Clock::time_point now);
    void finish(Sequence& sequence);
    void remove_finished();
    void fail_active(std::string const& reason);
    void fail_pass(std::string const& reason);
    void refuse(Queued const& queued, std::string const& reason);
    executor::IterationStats statistics() const;
    void report();
    void report_idle();
    void report_requests();

    Profile const mProfile;
    Limits const mLimits;
    Ranks& mRanks;
    Intake& mIntake;
    Mailbox& mMailbox;
    StatisticsRings& mRings;
    Pacer mPacer;
    BlockPool mPool;
    ActiveSet mActive;
    Admission mAdmission;
    Microbatch mBatch;
    /// Of the last batch, whose sequences may be gone.
    IterationLoad mLoad;
    std::vector<executor::Response> mOutbox;
    std::vector<executor::IdType> mCancelled;
    std::set<executor::IdType> mLoraCache;
    executor::IterationType mIteration = 0;
    Tally mTally;
    Outcome mBefore;
    /// No iteration since the last statistics of an idle engine.
    bool mIsIdle = true;
    /// The failure that the profile asks for has been.
    bool mHasFailed = false;
};

}  // namespace tensorrt_llm::simulation
