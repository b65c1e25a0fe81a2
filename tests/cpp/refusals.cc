// When does the simulated executor refuse, and how: by an exception, or by an error response?
#include <thread>

#include "bench.h"

using namespace bench;
using claims::contains;
using claims::holds;
using claims::same;
using claims::thrown_by;

namespace {

constexpr char const* kWhenFetching = "Encountered an error when fetching new request: ";

std::string error_of(tle::Executor& executor, tle::Request const& request) {
    auto const answer = answer_of(executor, request);
    same(answer.responses.size(), 1U, "number of responses");
    return answer.error;
}

/// An engine whose only slot is busy for a long time.
constexpr char const* kBusy = "explicit,base_us=2000,max_batch_size=1";

tle::ExecutorConfig with_queue_of(int size) {
    tle::ExecutorConfig config;
    config.setMaxQueueSize(size);
    return config;
}

void wait_until_fetched(tle::Executor& executor) {
    Answers answers;
    while (answers.empty()) {
        gather(executor, answers, 100ms);
    }
}

}  // namespace

CLAIM("a request without a prompt or without tokens to make is refused by its constructor") {
    contains(thrown_by([] { tle::Request({}, 5); }), "prompt");
    contains(thrown_by([] { tle::Request({1}, 0); }), "maxTokens");
}

CLAIM("sampling values out of range are refused by constructor and setter") {
    contains(thrown_by([] { tle::SamplingConfig(0); }), "beamWidth");
    contains(thrown_by([] { tle::SamplingConfig().setTopP(1.5F); }), "topP");
    contains(thrown_by([] { tle::SamplingConfig().setTemperature(-1.0F); }), "temperature");
    contains(thrown_by([] { tle::SamplingConfig(2).setNumReturnSequences(3); }), "numReturnSequences");
}

CLAIM("a prompt that is too long comes back as an error response, not as an exception") {
    auto executor = open("null,max_seq_len=32");
    contains(error_of(executor, streaming(32, 1)),
             std::string(kWhenFetching) + "Prompt length (32) exceeds maximum input length (31)");
}

CLAIM("without chunked context the token budget bounds the prompt too") {
    tle::ExecutorConfig config;
    config.setEnableChunkedContext(false);
    auto executor = open("null,max_num_tokens=16", config);
    contains(error_of(executor, streaming(17, 1)), "exceeds maximum input length (16)");
    same(answer_of(executor, streaming(16, 2)).tokens.size(), 2U, "tokens of a prompt that fits");
}

CLAIM("an end id outside the vocabulary, an uncached adapter and unknown drafts are error responses") {
    auto executor = open("null,vocab=100");
    auto request = streaming(4, 1);
    request.setEndId(100);
    contains(error_of(executor, request), std::string(kWhenFetching) + "the end id 100 is outside");

    auto lora = streaming(4, 1);
    lora.setLoraConfig(tle::LoraConfig(9));
    contains(error_of(executor, lora), "LoRA task 9 is not cached");
    auto weights = tle::Tensor::cpu(tle::DataType::kFP16, {1, 4});
    same(weights.getSizeInBytes(), 8U, "bytes of the weights");
    auto first = streaming(4, 1);
    first.setLoraConfig(tle::LoraConfig(9, weights, weights));
    same(answer_of(executor, first).tokens.size(), 1U, "tokens with weights");
    same(answer_of(executor, lora).tokens.size(), 1U, "tokens once cached");

    tle::Request drafts(prompt(4), 1, true, tle::SamplingConfig(), tle::OutputConfig(), std::nullopt,
                        std::nullopt, std::nullopt, std::nullopt, std::nullopt, std::nullopt,
                        tle::ExternalDraftTokensConfig({1, 2}));
    contains(error_of(executor, drafts), "draft tokens exceed");
}

CLAIM("a beam wider than the executor's is an error response") {
    auto executor = open("null");
    contains(error_of(executor, tle::Request(prompt(4), 1, true, tle::SamplingConfig(2))), "beam width 2");
}

CLAIM("MAX_UTILIZATION with streaming and without chunked context needs room to recompute") {
    tle::ExecutorConfig config;
    config.setEnableChunkedContext(false);
    config.setSchedulerConfig(tle::SchedulerConfig(tle::CapacitySchedulerPolicy::kMAX_UTILIZATION));
    auto executor = open("null,max_num_tokens=16", config);
    contains(error_of(executor, streaming(10, 8)), "must not exceed maximum input length (16)");
    same(answer_of(executor, streaming(10, 7)).tokens.size(), 7U, "tokens of one that fits");
}

CLAIM("a full queue refuses a batch as a whole, by an exception that names its size") {
    auto executor = open(kBusy, with_queue_of(2));
    auto const active = executor.enqueueRequest(streaming(4, 50));
    wait_until_fetched(executor);
    std::vector<tle::Request> const three(3, streaming(4, 1));
    auto const message = thrown_by([&] { executor.enqueueRequests(three); });
    same(message, std::string("Maximum queue size of 2 has been reached, please try again later"), "message");
    auto const ids = executor.enqueueRequests({streaming(4, 1), streaming(4, 1)});
    same(ids.size(), 2U, "accepted requests");
    contains(thrown_by([&] { executor.enqueueRequest(streaming(4, 1)); }), "Maximum queue size of 2");
    auto const answers = answers_of(executor, {active, ids[0], ids[1]});
    same(answers.size(), 3U, "answered requests");
}

CLAIM("in orchestrator mode a full queue is an error response without a client id") {
    auto config = with_queue_of(1);
    tle::ParallelConfig parallel;
    parallel.setCommunicationMode(tle::CommunicationMode::kORCHESTRATOR);
    parallel.setOrchestratorConfig(tle::OrchestratorConfig(true, "worker"));
    config.setParallelConfig(parallel);
    auto executor = open(kBusy, config);
    executor.enqueueRequest(streaming(4, 50));
    wait_until_fetched(executor);
    auto request = streaming(4, 1);
    request.setClientId(5);
    executor.enqueueRequest(request);
    auto const refused = executor.enqueueRequest(request);
    auto const answer = answers_of(executor, {refused})[refused];
    contains(answer.error, "Maximum queue size of 1");
    holds(!answer.responses[0].getClientId(), "the response has a client id");
}

CLAIM("a failing forward pass ends every active request with an error, and the engine goes on") {
    auto executor = open("explicit,base_us=1000,fail_at_iteration=3");
    auto const one = executor.enqueueRequest(streaming(4, 100));
    auto const two = executor.enqueueRequest(streaming(4, 100));
    auto const answers = answers_of(executor, {one, two});
    contains(answers.at(one).error, "forward pass at iteration 3");
    contains(answers.at(two).error, "forward pass at iteration 3");
    same(answer_of(executor, streaming(4, 2)).tokens.size(), 2U, "tokens afterwards");
}

CLAIM("hasError decides which getter throws") {
    auto executor = open("null,max_seq_len=32");
    auto const good = answer_of(executor, streaming(4, 1));
    auto const bad = answer_of(executor, streaming(40, 1));
    contains(thrown_by([&] { good.responses[0].getErrorMsg(); }), "without an error");
    contains(thrown_by([&] { bad.responses[0].getResult(); }), "with an error");
}

CLAIM("settings beyond the engine's build are refused when it opens") {
    tle::ExecutorConfig config;
    config.setMaxBatchSize(9);
    contains(thrown_by([&] { open("null,max_batch_size=8", config); }), "built for 8");
    contains(thrown_by([&] { open("null,max_beam_width=1", tle::ExecutorConfig(2)); }), "max_beam_width");
    contains(thrown_by([] { tle::Executor("null", tle::ModelType::kENCODER_ONLY, tle::ExecutorConfig()); }),
             "decoder-only");
}

CLAIM("a cancelled request ends with kCANCELLED; unknown and finished ids are ignored") {
    auto executor = open("explicit,base_us=1000");
    auto const id = executor.enqueueRequest(streaming(4, 10000));
    wait_until_fetched(executor);
    executor.cancelRequest(id);
    executor.cancelRequest(id + 1000);
    auto const answer = answers_of(executor, {id})[id];
    holds(answer.reason == tle::FinishReason::kCANCELLED, "the reason is not the cancellation");
    holds(answer.tokens.size() < 9999, "the request ran to its end");
    executor.cancelRequest(id);
    same(answer_of(executor, streaming(4, 2)).tokens.size(), 2U, "tokens afterwards");
}

CLAIM("a queued request that is cancelled still costs a prefill when its turn comes, and makes no token") {
    auto executor = open(kBusy);
    auto const active = executor.enqueueRequest(streaming(4, 20));
    auto const queued = executor.enqueueRequest(streaming(40, 20));
    wait_until_fetched(executor);
    executor.cancelRequest(queued);
    auto const answers = answers_of(executor, {queued});
    holds(answers.at(queued).reason == tle::FinishReason::kCANCELLED, "the reason is not the cancellation");
    same(answers.at(queued).tokens.size(), 0U, "tokens");
    holds(answers.at(active).final, "the cancellation came before the slot was free");
    auto const iterations = iterations_of(executor);
    same(iterations.back().inflightBatchingStats->numCtxTokens, 40, "prompt tokens of the last iteration");
}

CLAIM("a cancelled request that waits for memory stays active until it is worked on") {
    // Memory for one of them at a time.
    auto executor = open("explicit,base_us=2000,kv_tokens=64,tokens_per_block=4");
    auto const first = executor.enqueueRequest(streaming(20, 30));
    auto const second = executor.enqueueRequest(streaming(21, 30, 1));
    wait_until_fetched(executor);
    executor.cancelRequest(second);
    auto const answers = answers_of(executor, {second});
    holds(answers.at(second).reason == tle::FinishReason::kCANCELLED, "the reason is not the cancellation");
    holds(answers.count(first) == 1 && answers.at(first).final, "it ended before memory was free");
    same(iterations_of(executor).back().inflightBatchingStats->numCtxTokens, 21,
         "prompt tokens of the last iteration");
}

CLAIM("a cancelled request that does not stream returns no generated token") {
    auto executor = open("explicit,base_us=1000");
    auto const id = executor.enqueueRequest(tle::Request(prompt(4), 10000));
    while (executor.getLatestIterationStats().empty()) {
        std::this_thread::sleep_for(1ms);
    }
    executor.cancelRequest(id);
    auto const answer = answers_of(executor, {id})[id];
    holds(answer.reason == tle::FinishReason::kCANCELLED, "the reason is not the cancellation");
    same(answer.tokens.size(), 4U, "tokens: the prompt alone");
}

CLAIM("allottedTimeMs ends a request with kTIMED_OUT") {
    auto executor = open("explicit,base_us=1000");
    auto request = streaming(4, 10000);
    request.setAllottedTimeMs(20ms);
    auto const answer = answer_of(executor, request);
    holds(answer.reason == tle::FinishReason::kTIMED_OUT, "the reason is not the time");
    claims::within<std::size_t>(answer.tokens.size(), 1, 30, "number of tokens");
}

CLAIM("after shutdown every call throws, and shutdown again does not") {
    auto executor = open("null");
    executor.shutdown();
    executor.shutdown();
    std::string const expected = "Shutdown called";
    same(thrown_by([&] { executor.enqueueRequest(streaming(4, 1)); }), expected, "enqueueRequest");
    same(thrown_by([&] { executor.awaitResponses(1ms); }), expected, "awaitResponses");
    same(thrown_by([&] { executor.awaitResponses(tle::IdType{2}, 1ms); }), expected, "awaitResponses by id");
    same(thrown_by([&] { executor.cancelRequest(2); }), expected, "cancelRequest");
    same(thrown_by([&] { executor.getNumResponsesReady(); }), expected, "getNumResponsesReady");
    same(thrown_by([&] { executor.getLatestIterationStats(); }), expected, "getLatestIterationStats");
    same(thrown_by([&] { executor.getLatestRequestStats(); }), expected, "getLatestRequestStats");
}

CLAIM("shutdown runs all that waits before it returns, and none of it is answered") {
    // One request at a time, 2 ms a step.
    auto executor = open("explicit,base_us=2000,max_batch_size=1");
    auto const active = executor.enqueueRequest(streaming(4, 20));
    auto const queued = executor.enqueueRequest(streaming(4, 20));
    executor.enqueueRequest(streaming(4, 20));
    wait_until_fetched(executor);
    std::vector<tle::Response> responses;
    std::thread consumer([&] {
        try {
            for (;;) {
                for (auto& response : executor.awaitResponses(1000ms)) {
                    responses.push_back(std::move(response));
                }
            }
        } catch (std::runtime_error const&) {
            // "Shutdown called": the way this loop ends.
        }
    });
    auto const begin = Clock::now();
    executor.shutdown();
    consumer.join();
    claims::within(ms_between(begin, Clock::now()), 80.0, 5000.0, "milliseconds to run what waits");
    for (auto const& response : responses) {
        same(response.getRequestId(), active, "answered id");
        holds(response.getRequestId() != queued, "the queued request was answered");
    }
}

CLAIM("a wait by id that shutdown interrupts throws std::out_of_range") {
    auto executor = open("explicit,base_us=2000,max_batch_size=2", tle::ExecutorConfig(2));
    executor.enqueueRequest(streaming(4, 200));
    // Of another beam width, so that it waits until the first is through, and is fetched with the end marker.
    auto const queued = executor.enqueueRequest(tle::Request(prompt(8), 2, true, tle::SamplingConfig(2)));
    bool out_of_range = false;
    std::thread consumer([&] {
        try {
            executor.awaitResponses(queued, 10'000ms);
        } catch (std::out_of_range const&) {
            out_of_range = true;
        } catch (std::runtime_error const&) {
            // It began to wait too late: the claim below says so.
        }
    });
    std::this_thread::sleep_for(100ms);
    executor.shutdown();
    consumer.join();
    holds(out_of_range, "something else ended the wait");
}
