// Execution loop: fetch, end early, admit, run, answer, one iteration after the other.
#include "bareflight/cpp/simulated/loop.h"

#include <algorithm>
#include <stdexcept>

#include "bareflight/cpp/simulated/fetch.h"
#include "bareflight/cpp/simulated/logger.h"

namespace tensorrt_llm::simulation {

using executor::FinishReason;

ExecutionLoop::ExecutionLoop(Profile const& profile, Limits const& limits, Ranks& ranks, Intake& intake,
                             Mailbox& mailbox, StatisticsRings& rings, KvEventBuffer* events)
    : mProfile(profile),
      mLimits(limits),
      mRanks(ranks),
      mIntake(intake),
      mMailbox(mailbox),
      mRings(rings),
      mPacer(profile.behaviour),
      mPool(limits.kv_blocks, limits.tokens_per_block, limits.block_reuse, events) {}

void ExecutionLoop::run() {
    Pacer::own_this_thread();
    for (;;) {
        mTally = {};
        // As in the original, before the wait for work: it is part of the latency.
        mTally.started = Clock::now();
        if (mActive.empty()) {
            mPacer.rest();
            if (!mIntake.wait()) {
                return;
            }
        }
        mPacer.wait_out_stall();
        mTally.began = Clock::now();
        try {
            fetch();
            mark_cancelled_and_late();
            if (mActive.empty()) {
                mBefore = {};
            } else {
                iterate();
            }
        } catch (std::exception const& error) {
            fail_active(error.what());
        }
        if (mActive.empty()) {
            report_idle();
        }
        mMailbox.deliver(mOutbox);
        // After the responses: a worker of the original hands the events on, and comes when it comes.
        if (mPool.events() != nullptr) {
            mPool.events()->flush();
        }
    }
}

void ExecutionLoop::fetch() {
    auto const most = static_cast<std::size_t>(mLimits.max_batch_size);
    auto sequences = mActive.size();
    std::optional<std::int32_t> beam_width;
    if (!mActive.empty()) {
        beam_width = mActive.front()->job->beam_width;
    }
    auto const fits = [&](Queued const& queued) {
        auto const width = queued.request.samplingConfig.getBeamWidth();
        bool const agrees = sequences < most && beam_width.value_or(width) == width;
        if (agrees) {
            beam_width = width;
            sequences += static_cast<std::size_t>(queued.request.numReturnSequences);
        }
        return agrees;
    };
    bool at_end = false;
    auto fetched = mIntake.take(fits, at_end);
    if (at_end && sequences < most) {
        // As in the original, what is fetched together with the end marker is dropped.
        return;
    }
    auto const now = Clock::now();
    for (auto& queued : fetched) {
        mPacer.first_arrival(now);
        auto const reason = reason_to_refuse(queued.request, mLimits, mLoraCache);
        if (reason) {
            refuse(queued, *reason);
            continue;
        }
        mTally.queue_latency_ms += std::chrono::duration<double, std::milli>(now - queued.queued_at).count();
        mTally.fetched += queued.request.numReturnSequences;
        activate(std::move(queued), now);
    }
}

void ExecutionLoop::refuse(Queued const& queued, std::string const& reason) {
    auto const message = "Encountered an error when fetching new request: " + reason;
    log(LogLevel::Error, message);
    mOutbox.emplace_back(queued.id, message, queued.request.clientId);
}

void ExecutionLoop::activate(Queued&& queued, Clock::time_point now) {
    auto const priority = queued.request.priority;
    // From the back: with equal priorities the newest goes last.
    auto at = mActive.end();
    while (at != mActive.begin() && (*std::prev(at))->job->request.priority < priority) {
        --at;
    }
    for (auto& sequence : make_sequences(std::move(queued), mLimits, mProfile.behaviour, now)) {
        at = std::next(mActive.insert(at, std::move(sequence)));
    }
}

void ExecutionLoop::mark_cancelled_and_late() {
    mIntake.take_cancelled(mCancelled);
    auto const now = mTally.began;
    for (auto& sequence : mActive) {
        auto const& job = *sequence->job;
        auto const allotted = job.request.allottedTimeMs;
        if (allotted && now - job.arrived > *allotted) {
            sequence->ending = FinishReason::kTIMED_OUT;
        } else if (std::find(mCancelled.begin(), mCancelled.end(), job.id) != mCancelled.end()) {
            sequence->ending = FinishReason::kCANCELLED;
        }
    }
}

void ExecutionLoop::iterate() {
    auto const iteration = static_cast<std::int64_t>(mIteration);
    mIsIdle = false;
    if (mProfile.behaviour.fail_at_iteration == iteration && !mHasFailed) {
        fail_pass(
            "Encountered an error in forwardAsync function: simulated failure of the forward pass at "
            "iteration " +
            std::to_string(iteration));
        return;
    }
    admit(mActive, mLimits, mPool, mAdmission);
    hold_memory();
    fill(mAdmission.runnable, mLimits, mBatch);
    if (mBatch.empty() && mAdmission.paused == 0) {
        throw std::logic_error("no active request can be scheduled");
    }
    mark_scheduled(Clock::now());
    mRanks.iterate();
    mLoad = mBatch.load();
    // Before the work is done, so that its latency is that of the iteration before.
    report();
    mPacer.spend(std::chrono::nanoseconds(mProfile.cost.iteration_cost_ns(mLoad)));
    auto const now = Clock::now();
    advance(now);
    report_requests();
    mTally.outcome.latency_ms = std::chrono::duration<double, std::milli>(now - mTally.started).count();
    mBefore = mTally.outcome;
    remove_finished();
    ++mIteration;
}

/// As in the original, a pass that throws is not counted: the next has its number. Its line has the batch of
/// the pass before it.
void ExecutionLoop::fail_pass(std::string const& reason) {
    log(LogLevel::Error, reason);
    mHasFailed = true;
    fail_active(reason);
    report();
    mBefore = {};
    mIsIdle = true;
}

void ExecutionLoop::hold_memory() {
    for (auto* sequence : mAdmission.runnable) {
        if (!sequence->started) {
            start(*sequence);
        } else if (!sequence->in_context()) {
            hold(*sequence,
                 sequence->blocks_for(sequence->length() + mLimits.draft_len, mLimits.tokens_per_block));
        }
    }
}

void ExecutionLoop::start(Sequence& sequence) {
    auto const reused = reusable_blocks(sequence, mPool);
    auto const wanted = sequence.blocks_for(sequence.context_len, mLimits.tokens_per_block);
    mPool.share(sequence.job->prompt_chain, reused, sequence.blocks);
    sequence.started = true;
    sequence.paused = false;
    sequence.prefilled = reused * mLimits.tokens_per_block;

    auto& metrics = sequence.perf.kvCacheMetrics;
    metrics.numReusedBlocks += reused;
    metrics.numTotalAllocatedBlocks += reused;
    if (mPool.reuses()) {
        metrics.numMissedBlocks += wanted - reused;
        mPool.count_missed(wanted - reused);
        auto const asked = metrics.numReusedBlocks + metrics.numMissedBlocks;
        metrics.kvCacheHitRate = static_cast<float>(metrics.numReusedBlocks) / static_cast<float>(asked);
    }
    hold(sequence, wanted);
}

void ExecutionLoop::hold(Sequence& sequence, std::int32_t blocks) {
    auto const more = blocks - static_cast<std::int32_t>(sequence.blocks.size());
    if (more <= 0) {
        return;
    }
    mPool.take(more, sequence.blocks);
    sequence.perf.kvCacheMetrics.numNewAllocatedBlocks += more;
    sequence.perf.kvCacheMetrics.numTotalAllocatedBlocks += more;
}

void ExecutionLoop::mark_scheduled(Clock::time_point now) {
    for (auto const& chunk : mBatch.context) {
        auto& stamp = chunk.sequence->perf.timingMetrics.firstScheduledTime;
        stamp = stamp == Clock::time_point{} ? now : stamp;
    }
}

void ExecutionLoop::advance(Clock::time_point now) {
    for (auto const& chunk : mBatch.context) {
        chunk.sequence->prefilled += chunk.tokens;
        if (chunk.sequence->ending || !chunk.sequence->in_context()) {
            step(*chunk.sequence, false, now);
        }
    }
    for (auto* sequence : mBatch.generation) {
        step(*sequence, true, now);
    }
}

void ExecutionLoop::step(Sequence& sequence, bool decoding, Clock::time_point now) {
    if (sequence.ending) {
        finish(sequence);
        return;
    }
    auto const made = generate(sequence, mProfile.behaviour, decoding);
    auto& perf = sequence.perf;
    perf.iter = mIteration;
    if (!perf.firstIter) {
        perf.firstIter = mIteration;
        perf.timingMetrics.firstTokenTime = now;
    }
    auto& speculation = perf.speculativeDecoding;
    speculation.totalDraftTokens += made.drafted;
    speculation.totalAcceptedDraftTokens += made.accepted;
    if (speculation.totalDraftTokens > 0) {
        speculation.acceptanceRate = static_cast<float>(speculation.totalAcceptedDraftTokens) /
                                     static_cast<float>(speculation.totalDraftTokens);
    }
    auto& outcome = mTally.outcome;
    outcome.drafted += made.drafted;
    outcome.accepted += made.accepted;
    outcome.drafting_requests += made.drafted > 0 ? 1 : 0;
    outcome.decoded += decoding ? made.count : 0;
    if (!decoding) {
        name_blocks(sequence, mPool);
    }
    if (sequence.finished) {
        perf.lastIter = mIteration;
        perf.timingMetrics.lastTokenTime = now;
        --sequence.job->open_sequences;
        ++outcome.completed;
    }
    auto response = respond(sequence, made, mLimits.vocab_size);
    if (response) {
        mOutbox.push_back(std::move(*response));
    }
}

void ExecutionLoop::finish(Sequence& sequence) {
    sequence.end_early();
    --sequence.job->open_sequences;
    ++mTally.outcome.completed;
    sequence.perf.lastIter = mIteration;
    sequence.perf.timingMetrics.lastTokenTime = Clock::now();
    Step nothing;
    nothing.first = sequence.generated;
    mOutbox.push_back(*respond(sequence, nothing, mLimits.vocab_size));
}

void ExecutionLoop::remove_finished() {
    auto const gone = [this](std::unique_ptr<Sequence> const& sequence) {
        if (!sequence->finished) {
            return false;
        }
        name_blocks(*sequence, mPool);
        mPool.release(sequence->blocks);
        return true;
    };
    mActive.erase(std::remove_if(mActive.begin(), mActive.end(), gone), mActive.end());
}

void ExecutionLoop::fail_active(std::string const& reason) {
    for (auto& sequence : mActive) {
        mPool.release(sequence->blocks);
        // One terminal response per request, however many sequences it has.
        if (sequence->job->open_sequences > 0) {
            sequence->job->open_sequences = 0;
            mOutbox.emplace_back(sequence->job->id, reason, sequence->job->request.clientId);
        }
    }
    mActive.clear();
}

}  // namespace tensorrt_llm::simulation
