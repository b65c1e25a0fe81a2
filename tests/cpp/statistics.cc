// What do the executor's own statistics say, and in which words?
#include <algorithm>
#include <thread>

#include "bareflight/cpp/simulated/json_reader.h"
#include "bench.h"

using namespace bench;
using claims::holds;
using claims::same;

namespace {

std::map<std::string, std::string> read(std::string const& json) {
    return tensorrt_llm::simulation::read_json_scalars(json);
}

tle::ExecutorConfig with_rings(int iterations, int requests) {
    tle::ExecutorConfig config;
    config.setIterStatsMaxIterations(iterations);
    config.setRequestStatsMaxIterations(requests);
    return config;
}

}  // namespace

CLAIM("each iteration leaves one entry with its batch and what came of the one before, and reading drains") {
    // A prefill of 10 ms, then steps of 2 ms.
    auto executor = open("explicit,base_us=2000,prefill_us_per_token=1000");
    answer_of(executor, streaming(8, 5));
    auto const stats = lines_of(executor);
    same(stats.size(), 6U, "entries, the idle engine's included");
    for (std::size_t i = 0; i < stats.size(); ++i) {
        same(stats[i].iter, i, "iteration");
        same(stats[i].inflightBatchingStats->numContextRequests, i == 0 ? 1 : 0, "context requests");
        same(stats[i].inflightBatchingStats->numGenRequests, i == 0 || i == 5 ? 0 : 1, "generation requests");
        same(stats[i].numCompletedRequests, i == 5 ? 1 : 0, "completed requests");
    }
    same(stats[0].iterLatencyMS, 0.0, "latency before the first");
    claims::within(stats[1].iterLatencyMS, 10.0, 500.0, "latency of the prefill, in the line of the step");
    holds(stats[2].iterLatencyMS > 0, "a step took no time");
    same(stats[5].iterLatencyMS, 0.0, "latency of an idle engine");
    same(stats[0].inflightBatchingStats->numCtxTokens, 8, "context tokens");
    holds(executor.getLatestIterationStats().empty(), "the ring was not drained");
    answer_of(executor, streaming(8, 2));
    auto const next = lines_of(executor);
    same(next.front().iter, 5U, "iteration, which the idle line had named");
    holds(next.front().iterLatencyMS > 0, "the first after idling lacks the latency of the last before");
    same(next.front().numCompletedRequests, 1, "ended requests, told a second time");
    holds(next[1].iterLatencyMS >= 10.0, "the wait is not part of the first latency after idling");
}

CLAIM(
    "a forward pass that throws leaves a line with the batch of the one before, and the next has its "
    "number") {
    auto executor = open("explicit,base_us=2000,fail_at_iteration=2");
    answer_of(executor, streaming(8, 5));
    auto const lost = lines_of(executor);
    same(lost.size(), 3U, "entries");
    same(lost[2].iter, 2U, "iteration that threw");
    same(lost[2].numActiveRequests, 0, "active requests that are left");
    same(lost[2].inflightBatchingStats->numGenRequests, 1, "generation requests of the pass before");
    holds(lost[2].iterLatencyMS > 0, "the latency of the pass before is lost");
    answer_of(executor, streaming(8, 2));
    auto const next = lines_of(executor);
    same(next.front().iter, 2U, "iteration, whose number the failed one had");
    same(next.front().iterLatencyMS, 0.0, "latency of a pass that was none");
}

CLAIM("new requests are those that the engine took, one for each sequence, and an idle line repeats them") {
    auto executor = open("explicit,base_us=2000,max_input_len=16,max_seq_len=64");
    tle::SamplingConfig sampling;
    sampling.setNumReturnSequences(2);
    auto const both = executor.enqueueRequest(tle::Request(prompt(8), 1, true, sampling));
    auto const refused = executor.enqueueRequest(streaming(40, 1));
    answers_of(executor, {both, refused});
    auto const lines = lines_of(executor);
    same(lines.size(), 2U, "entries");
    same(lines[0].numNewActiveRequests, 2, "new requests");
    same(lines[1].numNewActiveRequests, 2, "new requests of the idle line");
    same(lines[1].numActiveRequests, 0, "active requests of the idle line");
}

CLAIM("the ring keeps the newest entries, and 0 keeps none") {
    auto small = open("null", with_rings(3, 0));
    answer_of(small, streaming(8, 10));
    auto const patience = Clock::now() + 30s;
    std::deque<tle::IterationStats> stats;
    // The line of the idle engine comes after the last response.
    while ((stats.empty() || stats.back().iter < 10) && Clock::now() < patience) {
        std::this_thread::sleep_for(1ms);
        stats = small.getLatestIterationStats();
    }
    holds(stats.size() <= 3, "the ring keeps more than it holds");
    same(stats.back().iter, 10U, "newest number, the idle engine's");
    auto none = open("null", with_rings(0, 0));
    answer_of(none, streaming(8, 10));
    holds(none.getLatestIterationStats().empty(), "entries were kept");
}

CLAIM("iteration statistics serialise with the member names as keys") {
    auto executor = open("null,draft_len=2");
    answer_of(executor, streaming(40, 5));
    auto const scalars = read(tle::JsonSerialization::toJsonStr(lines_of(executor).front()));
    for (auto const* key : {"cpuMemUsage",
                            "gpuMemUsage",
                            "iter",
                            "iterLatencyMS",
                            "maxBatchSizeRuntime",
                            "maxBatchSizeStatic",
                            "maxBatchSizeTunerRecommended",
                            "maxNumActiveRequests",
                            "maxNumTokensRuntime",
                            "maxNumTokensStatic",
                            "maxNumTokensTunerRecommended",
                            "newActiveRequestsQueueLatencyMS",
                            "numActiveRequests",
                            "numCompletedRequests",
                            "numNewActiveRequests",
                            "numQueuedRequests",
                            "pinnedMemUsage",
                            "timestamp",
                            "staticBatchingStats",
                            "kvCacheStats.allocNewBlocks",
                            "kvCacheStats.allocTotalBlocks",
                            "kvCacheStats.cacheHitRate",
                            "kvCacheStats.freeNumBlocks",
                            "kvCacheStats.maxNumBlocks",
                            "kvCacheStats.missedBlocks",
                            "kvCacheStats.reusedBlocks",
                            "kvCacheStats.tokensPerBlock",
                            "kvCacheStats.usedNumBlocks",
                            "inflightBatchingStats.avgNumDecodedTokensPerIter",
                            "inflightBatchingStats.microBatchId",
                            "inflightBatchingStats.numContextRequests",
                            "inflightBatchingStats.numCtxTokens",
                            "inflightBatchingStats.numGenRequests",
                            "inflightBatchingStats.numPausedRequests",
                            "inflightBatchingStats.numScheduledRequests",
                            "specDecodingStats.numDraftTokens",
                            "specDecodingStats.acceptanceLength"}) {
        holds(scalars.count(key) == 1, std::string("the key ") + key + " is missing");
    }
    same(scalars.at("inflightBatchingStats.numCtxTokens"), std::string("40"), "context tokens");
    same(scalars.at("staticBatchingStats"), std::string("null"), "staticBatchingStats");
    same(scalars.at("timestamp").size(), 26U, "length of the timestamp");
}

CLAIM("request statistics are off by default and follow each active request when on") {
    auto silent = open("null");
    answer_of(silent, streaming(8, 3));
    holds(silent.getLatestRequestStats().empty(), "request statistics came unasked");
    auto executor = open("null", with_rings(0, 100));
    auto const id = executor.enqueueRequest(streaming(8, 3));
    answers_of(executor, {id});
    auto const stats = executor.getLatestRequestStats();
    same(stats.size(), 3U, "entries");
    same(stats[1].requestStats.at(0).id, id, "request");
    same(stats[1].requestStats.at(0).numGeneratedTokens, 2, "generated tokens");
    holds(stats[2].requestStats.at(0).stage == tle::RequestStage::kGENERATION_COMPLETE,
          "the stage is not complete");
    auto const scalars = read(tle::JsonSerialization::toJsonStr(stats[2]));
    same(scalars.at("iter"), std::string("2"), "iteration");
    same(scalars.at("requestStats[].stage"), std::string("GENERATION_COMPLETE"), "stage");
}

CLAIM("request statistics also list the requests that wait, behind the active ones") {
    auto executor = open("explicit,base_us=20000,max_batch_size=1", with_rings(0, 100));
    std::vector<tle::IdType> ids;
    for (int i = 0; i < 3; ++i) {
        ids.push_back(executor.enqueueRequest(streaming(8, 2)));
    }
    answers_of(executor, ids);
    auto const stats = executor.getLatestRequestStats();
    auto const has_three = [](tle::RequestStatsPerIteration const& line) {
        return line.requestStats.size() == 3;
    };
    auto const line = std::find_if(stats.begin(), stats.end(), has_three);
    holds(line != stats.end(), "no line lists all three");
    same(line->requestStats.at(0).id, ids[0], "the active one");
    for (std::size_t i = 1; i < 3; ++i) {
        auto const& waiting = line->requestStats.at(i);
        same(waiting.id, ids[i], "one that waits");
        holds(waiting.stage == tle::RequestStage::kQUEUED && !waiting.scheduled, "it does not wait");
        same(waiting.numGeneratedTokens, 0, "tokens of one that waits");
    }
    same(stats.back().requestStats.size(), 1U, "requests of the last line");
}

CLAIM("performance metrics come on every response, only when asked for, and in order") {
    auto executor = open("explicit,base_us=200");
    for (auto const& response : answer_of(executor, streaming(8, 3)).responses) {
        holds(!response.getResult().requestPerfMetrics, "metrics came unasked");
    }
    auto const answer = answer_of(executor, with_metrics(streaming(8, 3)));
    for (auto const& response : answer.responses) {
        holds(response.getResult().requestPerfMetrics.has_value(), "a response has no metrics");
    }
    auto const& metrics = answer.metrics();
    auto const& timing = metrics.timingMetrics;
    holds(timing.arrivalTime <= timing.firstScheduledTime &&
              timing.firstScheduledTime < timing.firstTokenTime &&
              timing.firstTokenTime < timing.lastTokenTime && timing.lastTokenTime <= answer.received.back(),
          "the stamps are not in order");
    same(*metrics.lastIter - *metrics.firstIter, 2U, "iterations between first and last token");
    auto const& early = *answer.responses[0].getResult().requestPerfMetrics;
    holds(!early.lastIter && early.timingMetrics.lastTokenTime == Clock::time_point{},
          "the end was stamped before it came");
}

CLAIM("a roofline profile's memory use covers its weights and its cache") {
    auto executor = open("h100-llama3-8b-fp8,bandwidth_efficiency=1");
    answer_of(executor, streaming(8, 1));
    auto const stats = lines_of(executor);
    claims::within(static_cast<double>(stats.front().gpuMemUsage), 8.03e9, 80e9, "bytes in use");
}
