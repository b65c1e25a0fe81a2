// Who runs, and when? Batch and token limits, memory, chunks, priorities: seen in stamps and statistics.
#include "bareflight/cpp/simulated/block_pool.h"
#include "bench.h"

using namespace bench;
using claims::holds;
using claims::same;

namespace {

tle::ExecutorConfig with_policy(
    tle::CapacitySchedulerPolicy policy, bool reuse = false,
    tle::ContextChunkingPolicy chunking = tle::ContextChunkingPolicy::kFIRST_COME_FIRST_SERVED) {
    tle::ExecutorConfig config;
    config.setSchedulerConfig(tle::SchedulerConfig(policy, chunking));
    config.setKvCacheConfig(tle::KvCacheConfig(reuse));
    return config;
}

constexpr auto kNoEvict = tle::CapacitySchedulerPolicy::kGUARANTEED_NO_EVICT;
constexpr auto kGreedy = tle::CapacitySchedulerPolicy::kMAX_UTILIZATION;

struct Outcome {
    std::vector<tle::IdType> ids;
    Answers answers;
    std::deque<tle::IterationStats> stats;

    Answer& of(std::size_t i) { return answers[ids[i]]; }
    std::uint64_t first_iteration(std::size_t i) { return *of(i).metrics().firstIter; }
};

Outcome run(tle::Executor& executor, std::vector<tle::Request> const& requests) {
    Outcome outcome;
    outcome.ids = executor.enqueueRequests(requests);
    outcome.answers = answers_of(executor, outcome.ids);
    outcome.stats = iterations_of(executor);
    return outcome;
}

}  // namespace

CLAIM("no iteration runs more requests than the batch limit, and all are answered") {
    auto executor = open("explicit,base_us=100,max_batch_size=3");
    auto outcome = run(executor, std::vector<tle::Request>(8, with_metrics(streaming(8, 4))));
    for (auto const& stats : outcome.stats) {
        claims::within(stats.inflightBatchingStats->numScheduledRequests, 1, 3, "requests in an iteration");
    }
    // Two waves of three and one of two, four iterations each; the queue is served in order.
    same(outcome.first_iteration(0), 0U, "first iteration of the first");
    same(outcome.first_iteration(3), 4U, "first iteration of the fourth");
    same(outcome.first_iteration(7), 8U, "first iteration of the last");
}

CLAIM("no iteration computes more tokens than the token limit, and long prompts go in chunks") {
    auto executor = open("null,max_num_tokens=64,tokens_per_block=16");
    auto outcome = run(executor, {streaming(200, 2), streaming(100, 2)});
    int context_tokens = 0;
    for (auto const& stats : outcome.stats) {
        auto const& batch = *stats.inflightBatchingStats;
        holds(batch.numCtxTokens + batch.numGenRequests <= 64, "an iteration exceeded the token limit");
        context_tokens += batch.numCtxTokens;
    }
    same(context_tokens, 300, "context tokens of all iterations");
}

CLAIM("first come first served finishes one prompt before the next; equal progress shares the budget") {
    std::string const profile = "null,max_num_tokens=64,tokens_per_block=16";
    std::vector<tle::Request> const two(2, with_metrics(streaming(128, 1)));
    auto served = open(profile, with_policy(kNoEvict));
    auto first = run(served, two);
    same(first.first_iteration(0), 1U, "first token of the first, served in order");
    same(first.first_iteration(1), 3U, "first token of the second, served in order");
    auto shared = open(profile, with_policy(kNoEvict, false, tle::ContextChunkingPolicy::kEQUAL_PROGRESS));
    auto second = run(shared, two);
    same(second.first_iteration(0), 3U, "first token of the first, sharing");
    same(second.first_iteration(1), 3U, "first token of the second, sharing");
}

CLAIM("without chunked context a prompt waits until it fits an iteration as a whole") {
    tle::ExecutorConfig config;
    config.setEnableChunkedContext(false);
    auto executor = open("null,max_num_tokens=64", config);
    auto outcome = run(executor, {with_metrics(streaming(40, 2)), with_metrics(streaming(40, 2))});
    same(outcome.first_iteration(0), 0U, "first token of the first");
    same(outcome.first_iteration(1), 1U, "first token of the second");
}

CLAIM("a higher priority is fetched first, and equals stay in order") {
    auto executor = open("explicit,base_us=1000,max_batch_size=1");
    auto urgent = with_metrics(streaming(8, 2));
    urgent.setPriority(0.9F);
    auto const normal = with_metrics(streaming(8, 2));
    executor.enqueueRequest(streaming(8, 5));
    auto outcome = run(executor, {normal, normal, urgent});
    holds(outcome.first_iteration(2) < outcome.first_iteration(0), "the urgent request waited");
    holds(outcome.first_iteration(0) < outcome.first_iteration(1), "the equals changed their order");
}

CLAIM("GUARANTEED_NO_EVICT reserves the whole of maxTokens, so an inflated one lowers concurrency") {
    // 64 blocks of 4 tokens: two requests of 8 + 120 tokens fill them exactly.
    auto executor = open("null,kv_tokens=256,tokens_per_block=4,eos_after=5", with_policy(kNoEvict));
    auto request = with_metrics(streaming(8, 120));
    request.setEndId(0);
    auto outcome = run(executor, std::vector<tle::Request>(4, request));
    int most = 0;
    for (auto const& stats : outcome.stats) {
        most = std::max(most, stats.inflightBatchingStats->numScheduledRequests);
        same(stats.inflightBatchingStats->numPausedRequests, 0, "paused requests");
    }
    same(most, 2, "most requests in an iteration");
}

CLAIM("MAX_UTILIZATION admits more, pauses and recomputes, and the tokens are the same") {
    std::string const profile = "null,kv_tokens=256,tokens_per_block=4";
    auto careful = open(profile, with_policy(kNoEvict));
    auto greedy = open(profile, with_policy(kGreedy));
    std::vector<tle::Request> requests;
    for (int salt = 0; salt < 4; ++salt) {
        requests.push_back(streaming(8, 100, salt));
    }
    auto expected = run(careful, requests);
    auto outcome = run(greedy, requests);
    int most = 0;
    int paused = 0;
    for (auto const& stats : outcome.stats) {
        most = std::max(most, stats.inflightBatchingStats->numScheduledRequests);
        paused += stats.inflightBatchingStats->numPausedRequests;
        holds(stats.kvCacheStats->usedNumBlocks <= 64, "more blocks were used than exist");
    }
    same(most, 4, "most requests in an iteration");
    holds(paused > 0, "nothing was paused");
    for (std::size_t i = 0; i < 4; ++i) {
        holds(outcome.of(i).tokens == expected.of(i).tokens, "a pause changed the tokens");
    }
}

CLAIM("MAX_UTILIZATION lets no small newcomer overtake a large one that waits for memory") {
    auto executor = open("explicit,base_us=200,kv_tokens=256,tokens_per_block=4", with_policy(kGreedy));
    auto outcome = run(executor, {with_metrics(streaming(150, 20)), with_metrics(streaming(150, 20, 1)),
                                  with_metrics(streaming(8, 2, 2))});
    holds(outcome.first_iteration(1) <= outcome.first_iteration(2), "the small one overtook");
    holds(outcome.first_iteration(1) > outcome.first_iteration(0), "the large one did not have to wait");
}

CLAIM("a paused request that does not stream is answered whole") {
    tle::ExecutorConfig config = with_policy(kGreedy);
    config.setEnableChunkedContext(false);
    auto executor = open("null,kv_tokens=256,tokens_per_block=4,max_num_tokens=64", config);
    tle::OutputConfig output;
    output.excludeInputFromOutput = true;
    std::vector<tle::Request> requests;
    for (int salt = 0; salt < 4; ++salt) {
        requests.emplace_back(prompt(8, salt), 100, false, tle::SamplingConfig(), output);
    }
    auto outcome = run(executor, requests);
    for (std::size_t i = 0; i < 4; ++i) {
        same(outcome.of(i).tokens.size(), 100U, "number of tokens");
    }
}

CLAIM("block reuse spares the shared prefix, and is counted; without reuse nothing is shared") {
    std::string const profile = "null,tokens_per_block=16";
    auto const request = with_metrics(streaming(100, 4));
    auto reusing = open(profile, with_policy(kNoEvict, true));
    auto const first = answer_of(reusing, request);
    auto const second = answer_of(reusing, request);
    same(first.metrics().kvCacheMetrics.numReusedBlocks, 0, "blocks reused by the first");
    same(second.metrics().kvCacheMetrics.numReusedBlocks, 6, "blocks reused by the second");
    same(second.metrics().kvCacheMetrics.numMissedBlocks, 1, "blocks missed by the second");
    auto const stats = lines_of(reusing);
    same(stats.back().kvCacheStats->reusedBlocks, 6, "reused blocks in the statistics");
    auto const other = answer_of(reusing, with_metrics(streaming(100, 4, 1)));
    same(other.metrics().kvCacheMetrics.numReusedBlocks, 0, "blocks reused by another prompt");

    auto cold = open(profile, with_policy(kNoEvict, false));
    answer_of(cold, request);
    same(answer_of(cold, request).metrics().kvCacheMetrics.numReusedBlocks, 0, "blocks reused without reuse");
}

CLAIM("a prompt of whole blocks still computes its last block, since a first token needs one") {
    auto executor = open("null,tokens_per_block=16", with_policy(kNoEvict, true));
    auto const request = with_metrics(streaming(64, 1));
    answer_of(executor, request);
    auto const again = answer_of(executor, request);
    same(again.metrics().kvCacheMetrics.numReusedBlocks, 3, "blocks reused");
}

CLAIM("a follow-up that contains the earlier output reuses the generated blocks too") {
    auto executor = open("null,tokens_per_block=16", with_policy(kNoEvict, true));
    auto const first = answer_of(executor, streaming(20, 40));
    auto next = prompt(20);
    next.insert(next.end(), first.tokens.begin(), first.tokens.end());
    next.push_back(1);
    auto const second = answer_of(executor, with_metrics(tle::Request(next, 2, true)));
    // 59 of the 60 tokens were in the cache, which is three full blocks of 16.
    same(second.metrics().kvCacheMetrics.numReusedBlocks, 3, "blocks reused");
}

CLAIM("requests of different adapters do not share blocks") {
    auto executor = open("null,tokens_per_block=16", with_policy(kNoEvict, true));
    answer_of(executor, streaming(64, 1));
    auto const weights = tle::Tensor::cpu(tle::DataType::kFP16, {1, 4});
    auto lora = with_metrics(streaming(64, 1));
    lora.setLoraConfig(tle::LoraConfig(3, weights, weights));
    same(answer_of(executor, lora).metrics().kvCacheMetrics.numReusedBlocks, 0, "blocks shared");
}

CLAIM("kept blocks give way when memory is needed, least recently released first") {
    // 16 blocks; each prompt needs 5 with its output, so the fourth pushes the first one's blocks out.
    auto executor = open("null,kv_tokens=256,tokens_per_block=16", with_policy(kNoEvict, true));
    for (int salt = 0; salt < 4; ++salt) {
        answer_of(executor, streaming(64, 2, salt));
    }
    auto const recent = answer_of(executor, with_metrics(streaming(64, 2, 3)));
    holds(recent.metrics().kvCacheMetrics.numReusedBlocks == 3, "the most recent prompt was given up");
    auto const oldest = answer_of(executor, with_metrics(streaming(64, 2, 0)));
    holds(oldest.metrics().kvCacheMetrics.numReusedBlocks < 3, "the oldest prompt was kept whole");
}

CLAIM("after all requests end no block is held") {
    auto executor = open("null,kv_tokens=512,tokens_per_block=4", with_policy(kGreedy, true));
    std::vector<tle::Request> requests;
    for (int i = 0; i < 20; ++i) {
        requests.push_back(streaming(8 + i, 40, i % 3));
    }
    run(executor, requests);
    answer_of(executor, streaming(4, 1));
    auto const stats = lines_of(executor);
    // The last iteration still holds the blocks of the one request that ended in it.
    same(stats[stats.size() - 2].kvCacheStats->usedNumBlocks, 1, "blocks in use");
    same(stats.back().kvCacheStats->usedNumBlocks, 0, "blocks in use by an idle engine");
    same(stats.back().kvCacheStats->freeNumBlocks, 128, "free blocks");
}

CLAIM("a request of another beam width waits until the active set has drained") {
    auto executor = open("explicit,base_us=500", tle::ExecutorConfig(2));
    auto const narrow = with_metrics(streaming(8, 10));
    auto const wide = with_metrics(tle::Request(prompt(8), 2, true, tle::SamplingConfig(2)));
    auto outcome = run(executor, {narrow, wide, narrow});
    same(outcome.first_iteration(1), 10U, "first iteration of the wide beam");
    same(outcome.first_iteration(2), 12U, "first iteration of the narrow one behind it");
}

CLAIM("the block pool counts what is held and never gives a block twice") {
    namespace sim = tensorrt_llm::simulation;
    sim::BlockPool pool(4, 16, true, nullptr);
    std::vector<std::int32_t> one;
    std::vector<std::int32_t> two;
    pool.take(2, one);
    pool.name(one[0], 111);
    same(pool.available(), 2, "available blocks");
    pool.share({111}, 1, two);
    same(pool.available(), 2, "available blocks when one is shared");
    pool.release(one);
    same(pool.available(), 3, "available blocks while the shared one is held");
    pool.release(two);
    same(pool.matched({111}, 1), 1, "blocks kept");
    pool.take(4, one);
    same(pool.matched({111}, 1), 0, "blocks kept when all were taken");
    claims::contains(claims::thrown_by([&] { pool.take(1, two); }), "no block left");
}
