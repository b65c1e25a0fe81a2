// Statistics of one iteration in the shape of the executor API.
#include <algorithm>

#include "bareflight/cpp/simulated/loop.h"

namespace tensorrt_llm::simulation {

namespace {

executor::RequestStats stats_of(Sequence const& sequence, bool scheduled) {
    auto const& kv = sequence.perf.kvCacheMetrics;
    executor::RequestStats stats;
    stats.id = sequence.job->id;
    stats.stage = sequence.finished       ? executor::RequestStage::kGENERATION_COMPLETE
                  : sequence.in_context() ? executor::RequestStage::kCONTEXT_IN_PROGRESS
                                          : executor::RequestStage::kGENERATION_IN_PROGRESS;
    stats.contextPrefillPosition = sequence.prefilled;
    stats.numGeneratedTokens = sequence.generated;
    stats.avgNumDecodedTokensPerIter = static_cast<float>(sequence.generated) /
                                       static_cast<float>(std::max(1, sequence.decoding_iterations));
    stats.scheduled = scheduled;
    stats.paused = sequence.paused;
    stats.allocTotalBlocksPerRequest = kv.numTotalAllocatedBlocks;
    stats.allocNewBlocksPerRequest = kv.numNewAllocatedBlocks;
    stats.reusedBlocksPerRequest = kv.numReusedBlocks;
    stats.missedBlocksPerRequest = kv.numMissedBlocks;
    stats.kvCacheHitRatePerRequest = kv.kvCacheHitRate;
    return stats;
}

/// Of a request that has not been fetched: nothing has happened to it yet.
executor::RequestStats stats_of_waiting(executor::IdType id) {
    executor::RequestStats stats{};
    stats.id = id;
    stats.stage = executor::RequestStage::kQUEUED;
    return stats;
}

/// `decoded` tokens came out of the iteration before.
executor::InflightBatchingStats inflight_of(Microbatch const& batch, Admission const& admission,
                                            IterationLoad const& load, std::int64_t decoded) {
    executor::InflightBatchingStats stats;
    stats.numContextRequests = static_cast<std::int32_t>(batch.context.size());
    stats.numGenRequests = static_cast<std::int32_t>(batch.generation.size());
    stats.numScheduledRequests = stats.numContextRequests + stats.numGenRequests;
    stats.numPausedRequests = admission.paused;
    stats.numCtxTokens = static_cast<std::int32_t>(load.context_tokens);
    stats.avgNumDecodedTokensPerIter =
        batch.generation.empty() ? 0.0F
                                 : static_cast<float>(decoded) / static_cast<float>(stats.numGenRequests);
    return stats;
}

}  // namespace

executor::IterationStats ExecutionLoop::statistics() const {
    executor::IterationStats stats;
    stats.timestamp = timestamp_now();
    stats.iter = mIteration;
    stats.numActiveRequests = static_cast<std::int32_t>(mActive.size());
    stats.numQueuedRequests = static_cast<std::int32_t>(mIntake.queued());
    stats.numCompletedRequests = mBefore.completed;
    stats.maxNumActiveRequests = mLimits.max_batch_size;
    stats.maxBatchSizeStatic = mProfile.limits.max_batch_size;
    stats.maxBatchSizeRuntime = mLimits.max_batch_size;
    stats.maxNumTokensStatic = mProfile.limits.max_num_tokens;
    stats.maxNumTokensRuntime = mLimits.max_num_tokens;
    auto const kv_tokens = static_cast<double>(mLimits.kv_blocks) * mLimits.tokens_per_block;
    if (mProfile.kind == ProfileKind::kRoofline) {
        stats.gpuMemUsage =
            static_cast<std::size_t>(mProfile.weights_bytes + kv_tokens * mProfile.kv.bytes_per_token);
    }
    stats.kvCacheStats = mPool.stats();
    stats.inflightBatchingStats = executor::InflightBatchingStats();
    return stats;
}

/// Batch and cache are those of the iteration that begins, latency and ends those of the one before.
void ExecutionLoop::report() {
    if (!mRings.iterations.enabled()) {
        return;
    }
    auto stats = statistics();
    stats.iterLatencyMS = mBefore.latency_ms;
    stats.newActiveRequestsQueueLatencyMS = mTally.queue_latency_ms;
    stats.numNewActiveRequests = mTally.fetched;
    stats.inflightBatchingStats = inflight_of(mBatch, mAdmission, mLoad, mBefore.decoded);
    if (mLimits.draft_len > 0) {
        executor::SpecDecodingStats speculation;
        speculation.numDraftTokens = mBefore.drafted;
        speculation.numAcceptedTokens = mBefore.accepted;
        speculation.numRequestsWithDraftTokens = mBefore.drafting_requests;
        speculation.acceptanceLength =
            mBefore.drafting_requests == 0
                ? 0.0
                : 1.0 + static_cast<double>(mBefore.accepted) / mBefore.drafting_requests;
        speculation.iterLatencyMS = stats.iterLatencyMS;
        stats.specDecodingStats = speculation;
    }
    mRings.iterations.push(std::move(stats));
}

/// The last active request has ended: a line without batch and latency, whose number the next iteration
/// repeats.
void ExecutionLoop::report_idle() {
    if (mIsIdle) {
        return;
    }
    mIsIdle = true;
    mBatch = {};
    mLoad = {};
    if (mRings.iterations.enabled()) {
        auto stats = statistics();
        // Of the last fetch, which may be long ago.
        stats.numNewActiveRequests = mTally.fetched;
        mRings.iterations.push(std::move(stats));
    }
}

void ExecutionLoop::report_requests() {
    if (!mRings.requests.enabled()) {
        return;
    }
    executor::RequestStatsPerIteration stats;
    stats.iter = mIteration;
    for (auto const& sequence : mActive) {
        auto const is_chunk = [&](ContextChunk const& chunk) { return chunk.sequence == sequence.get(); };
        auto const& generation = mBatch.generation;
        bool const scheduled =
            std::any_of(mBatch.context.begin(), mBatch.context.end(), is_chunk) ||
            std::find(generation.begin(), generation.end(), sequence.get()) != generation.end();
        stats.requestStats.push_back(stats_of(*sequence, scheduled));
    }
    for (auto const id : mIntake.waiting()) {
        stats.requestStats.push_back(stats_of_waiting(id));
    }
    mRings.requests.push(std::move(stats));
}

}  // namespace tensorrt_llm::simulation
