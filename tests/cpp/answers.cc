// What do the simulated executor's answers hold? Deltas, ends, sequences, beams.
#include <set>

#include "bench.h"

using namespace bench;
using claims::holds;
using claims::same;

namespace {

tle::VecTokens tokens_with_seed(tle::Executor& executor, std::uint64_t seed, int salt = 0) {
    tle::SamplingConfig sampling;
    sampling.setSeed(seed);
    return answer_of(executor, tle::Request(prompt(8, salt), 20, true, sampling)).tokens;
}

}  // namespace

CLAIM("a streaming request gets one delta per token and the last token ends it by length") {
    auto executor = open("null");
    auto const answer = answer_of(executor, streaming(8, 5));
    same(answer.responses.size(), 5U, "number of responses");
    same(answer.tokens.size(), 5U, "number of tokens");
    holds(answer.reason == tle::FinishReason::kLENGTH, "the reason is not the length");
    same(answer.last().outputTokenIds[0].size(), 1U, "tokens of the final response");
}

CLAIM("a request that does not stream gets one final response with the prompt in front") {
    auto executor = open("null");
    auto const answer = answer_of(executor, tle::Request(prompt(8), 5));
    same(answer.responses.size(), 1U, "number of responses");
    same(answer.tokens.size(), 13U, "number of tokens");
    holds(std::equal(answer.tokens.begin(), answer.tokens.begin() + 8, prompt(8).begin()),
          "the prompt is not in front");
}

CLAIM("the prompt is left out when the output configuration excludes it") {
    auto executor = open("null");
    tle::OutputConfig output;
    output.excludeInputFromOutput = true;
    auto const answer = answer_of(executor, tle::Request(prompt(8), 5, false, tle::SamplingConfig(), output));
    same(answer.tokens.size(), 5U, "number of tokens");
}

CLAIM("returnAllGeneratedTokens makes each response cumulative, without the prompt") {
    auto executor = open("null");
    auto request = streaming(8, 4);
    request.setReturnAllGeneratedTokens(true);
    auto const answer = answer_of(executor, request);
    for (std::size_t i = 0; i < 4; ++i) {
        same(answer.responses[i].getResult().outputTokenIds[0].size(), i + 1, "tokens of a response");
    }
}

CLAIM("equal seeds and prompts give equal tokens, other seeds and prompts others") {
    auto one = open("null");
    auto two = open("explicit,base_us=10");
    auto other_profile = open("null,seed=9");
    auto const tokens = tokens_with_seed(one, 3);
    holds(tokens == tokens_with_seed(two, 3), "the same seed gave other tokens");
    holds(tokens != tokens_with_seed(one, 4), "another sampling seed gave the same tokens");
    holds(tokens != tokens_with_seed(one, 3, 1), "another prompt gave the same tokens");
    holds(tokens != tokens_with_seed(other_profile, 3), "another profile seed gave the same tokens");
}

CLAIM("tokens stay within the vocabulary and are never the end id") {
    auto executor = open("null,vocab=3");
    auto request = streaming(8, 300);
    request.setEndId(2);
    auto const answer = answer_of(executor, request);
    same(answer.tokens.size(), 300U, "number of tokens");
    auto const seen = std::set<int>(answer.tokens.begin(), answer.tokens.end());
    holds(seen == std::set<int>({0, 1}), "another token than 0 and 1 appeared");
}

CLAIM("an end token is not delivered: the final response of the stream is empty") {
    auto executor = open("null,eos_after=3");
    auto request = streaming(8, 10);
    request.setEndId(2);
    auto const answer = answer_of(executor, request);
    same(answer.tokens.size(), 3U, "number of tokens");
    same(answer.responses.size(), 4U, "number of responses");
    holds(answer.last().outputTokenIds[0].empty(), "the final response is not empty");
    holds(answer.reason == tle::FinishReason::kEND_ID, "the reason is not the end id");
}

CLAIM("without an end id the profile's end token is ignored") {
    auto executor = open("null,eos_after=3");
    auto const unset = answer_of(executor, streaming(8, 10));
    auto request = streaming(8, 10);
    request.setEndId(-1);
    auto const minus_one = answer_of(executor, request);
    same(unset.tokens.size(), 10U, "number of tokens without an end id");
    same(minus_one.tokens.size(), 10U, "number of tokens with end id -1");
}

CLAIM("minTokens postpones the end token") {
    auto executor = open("null,eos_after=3");
    tle::SamplingConfig sampling;
    sampling.setMinTokens(6);
    tle::Request request(prompt(8), 10, true, sampling);
    request.setEndId(2);
    same(answer_of(executor, request).tokens.size(), 6U, "number of tokens");
}

CLAIM("a stop word ends the sequence and its tokens are delivered") {
    auto executor = open("null");
    auto const free = answer_of(executor, streaming(8, 20)).tokens;
    auto request = streaming(8, 20);
    request.setStopWords({{free[4], free[5]}});
    auto const stopped = answer_of(executor, request);
    same(stopped.tokens.size(), 6U, "number of tokens");
    holds(stopped.reason == tle::FinishReason::kSTOP_WORDS, "the reason is not the stop word");
}

CLAIM("prompt and maxTokens beyond the sequence length are clamped") {
    auto executor = open("null,max_seq_len=32");
    auto const answer = answer_of(executor, streaming(20, 100));
    same(answer.tokens.size(), 12U, "number of tokens");
    holds(answer.reason == tle::FinishReason::kLENGTH, "the reason is not the length");
}

CLAIM("speculative decoding gives several tokens per delta, all of them, and never too many") {
    auto plain = open("null");
    auto speculative = open("null,draft_len=3,acceptance=0.9");
    auto const expected = answer_of(plain, streaming(8, 50)).tokens;
    auto const answer = answer_of(speculative, with_metrics(streaming(8, 50)));
    holds(answer.tokens == expected, "speculation changed the tokens");
    holds(answer.responses.size() < 30, "no delta held several tokens");
    auto const& metrics = answer.metrics().speculativeDecoding;
    same(metrics.totalDraftTokens, static_cast<int>(answer.responses.size() - 1) * 3, "draft tokens");
    holds(metrics.totalAcceptedDraftTokens > 20, "few drafts were accepted");
    same(50 - static_cast<int>(answer.responses.size()), metrics.totalAcceptedDraftTokens, "accepted drafts");
}

CLAIM("numReturnSequences share an id, end one by one, and only the last response is final") {
    auto executor = open("null");
    tle::SamplingConfig sampling;
    sampling.setSeed(5);
    sampling.setNumReturnSequences(3);
    auto const answer = answer_of(executor, tle::Request(prompt(8), 4, true, sampling));
    std::map<int, tle::VecTokens> sequences;
    int ended = 0;
    for (auto const& response : answer.responses) {
        auto const& result = response.getResult();
        auto& tokens = sequences[result.sequenceIndex];
        tokens.insert(tokens.end(), result.outputTokenIds[0].begin(), result.outputTokenIds[0].end());
        ended += result.isSequenceFinal ? 1 : 0;
        holds(result.isFinal == (ended == 3), "isFinal came with another sequence than the last");
    }
    same(sequences.size(), 3U, "number of sequences");
    same(ended, 3, "ended sequences");
    tle::SamplingConfig next;
    next.setSeed(6);
    holds(sequences[1] == answer_of(executor, tle::Request(prompt(8), 4, true, next)).tokens,
          "the second sequence does not use the seed plus one");
}

CLAIM("ids grow from 2 and leave room for the further sequences of a request") {
    auto executor = open("null");
    tle::SamplingConfig sampling;
    sampling.setNumReturnSequences(3);
    auto const first = executor.enqueueRequest(streaming(4, 1));
    auto const second = executor.enqueueRequest(tle::Request(prompt(4), 1, true, sampling));
    auto const third = executor.enqueueRequest(streaming(4, 1));
    same(first, 2U, "first id");
    same(second, 3U, "second id");
    same(third, 6U, "third id");
}

CLAIM("with a beam width above 1 a stream is cumulative and has a row per beam") {
    auto executor = open("null", tle::ExecutorConfig(2));
    auto const answer = answer_of(executor, tle::Request(prompt(8), 4, true, tle::SamplingConfig(2)));
    for (std::size_t i = 0; i < 4; ++i) {
        auto const& result = answer.responses[i].getResult();
        same(result.outputTokenIds.size(), 2U, "rows");
        same(result.finishReasons.size(), 2U, "finish reasons");
        same(result.outputTokenIds[1].size(), i + 1, "tokens of a row");
        same(result.sequenceIndex, 0, "sequence index");
    }
    holds(answer.last().outputTokenIds[0] != answer.last().outputTokenIds[1], "the beams are equal");
}

CLAIM("log-probabilities are absent unless asked for, and then the whole history") {
    auto executor = open("null");
    holds(!answer_of(executor, streaming(4, 2)).last().logProbs, "log-probabilities came unasked");
    auto request = streaming(4, 3);
    request.setOutputConfig(tle::OutputConfig(true));
    auto const answer = answer_of(executor, request);
    same(answer.last().logProbs->front().size(), 3U, "log-probabilities of the last response");
}

CLAIM("awaiting by id gives only that request's responses, and an error for a finished id") {
    auto executor = open("null");
    auto const one = executor.enqueueRequest(streaming(4, 2));
    auto const two = executor.enqueueRequest(streaming(4, 3));
    std::size_t tokens = 0;
    for (bool final = false; !final;) {
        for (auto const& response : executor.awaitResponses(two, 1000ms)) {
            same(response.getRequestId(), two, "id");
            tokens += response.getResult().outputTokenIds[0].size();
            final = response.getResult().isFinal;
        }
    }
    same(tokens, 3U, "tokens of the second request");
    holds(executor.awaitResponses(two, 10ms).at(0).hasError(), "the finished id gave no error");
    auto const both = executor.awaitResponses(std::vector<tle::IdType>{one, two}, 1000ms);
    same(both.size(), 2U, "lists of responses");
    holds(!both[0].at(0).hasError() && both[1].at(0).hasError(), "the lists are not in the order of the ids");
}

CLAIM("getNumResponsesReady counts without taking, and a timeout gives nothing") {
    auto executor = open("null");
    holds(executor.awaitResponses(5ms).empty(), "responses came from nowhere");
    auto const id = executor.enqueueRequest(streaming(4, 3));
    auto const patience = Clock::now() + 10s;
    while (executor.getNumResponsesReady(id) < 3 && Clock::now() < patience) {
    }
    same(executor.getNumResponsesReady(), 3, "responses ready");
    same(executor.awaitResponses(10ms).size(), 3U, "responses taken");
    same(executor.getNumResponsesReady(), 0, "responses left");
}

CLAIM("every response carries the client id, so it finds its request before the enqueue has returned") {
    auto executor = open("null");
    auto request = streaming(4, 1);
    request.setClientId(77);
    auto const id = executor.enqueueRequest(request);
    auto const answers = answers_of(executor, {id});
    same(answers.at(id).responses[0].getClientId().value_or(0), 77U, "client id");
}
