// Are drafts from outside verified as a target model would verify them, and made as a draft model would make
// them?
#include "driven.h"

using claims::contains;
using claims::holds;
using claims::same;
using claims::thrown_by;

namespace {

namespace tle = bench::tle;

constexpr int kDrafts = 4;
char const* const kTarget = "null,external_drafts=4";

tle::Request verifying(tle::VecTokens const& context, tle::VecTokens const& drafts, int max_tokens) {
    tle::Request request(context, max_tokens);
    request.setOutputConfig(tle::OutputConfig(false, false, false, true, false, true));
    if (!drafts.empty()) {
        request.setExternalDraftTokensConfig(tle::ExternalDraftTokensConfig(drafts));
    }
    return request;
}

/// What the same model gives without drafts.
tle::VecTokens undrafted(int length) {
    auto plain = bench::open("null");
    return bench::answer_of(plain, bench::streaming(8, length)).tokens;
}

tle::VecTokens first(tle::VecTokens const& tokens, int count) {
    return {tokens.begin(), tokens.begin() + count};
}

}  // namespace

CLAIM(
    "drafts: what agrees is accepted up to the first that does not, and one token of the target's own "
    "follows") {
    auto target = bench::open(kTarget);
    auto const own = undrafted(kDrafts + 1);
    for (int right = 0; right <= kDrafts; ++right) {
        auto drafts = first(own, kDrafts);
        if (right < kDrafts) {
            drafts[static_cast<std::size_t>(right)] += 1;
        }
        auto const answer = bench::answer_of(target, verifying(bench::prompt(8), drafts, kDrafts + 1));
        same(answer.responses.size(), 1U, "responses: a request is one step");
        holds(answer.tokens == first(own, right + 1), "the target gave other tokens than without drafts");
        auto const& counts = answer.metrics().speculativeDecoding;
        same(counts.totalDraftTokens, kDrafts, "draft tokens");
        same(counts.totalAcceptedDraftTokens, right, "accepted drafts");
        auto const reason = right == kDrafts ? tle::FinishReason::kLENGTH : tle::FinishReason::kNOT_FINISHED;
        holds(answer.reason == reason, "the reason is another");
    }
}

CLAIM("drafts: an engine that verifies them makes one token of a request without any") {
    auto target = bench::open(kTarget);
    auto const answer = bench::answer_of(target, verifying(bench::prompt(8), {}, 10));
    same(answer.tokens.size(), 1U, "tokens");
    holds(answer.reason == tle::FinishReason::kNOT_FINISHED, "the reason is not that it goes on");
}

CLAIM("drafts: rounds of a draft model and its target give what the target alone gives, in fewer steps") {
    auto target = bench::open(kTarget);
    auto draft = bench::open("null,agreement=0.8");
    auto const expected = undrafted(100);
    auto const prompt = bench::prompt(8);
    auto context = prompt;
    int rounds = 0;
    int accepted = 0;
    int proposed = 0;
    while (context.size() < prompt.size() + expected.size()) {
        tle::Request ask(context, kDrafts);
        tle::OutputConfig output;
        output.excludeInputFromOutput = true;
        ask.setOutputConfig(output);
        auto const drafts = bench::answer_of(draft, ask).tokens;
        auto const answer = bench::answer_of(target, verifying(context, drafts, kDrafts + 1));
        context.insert(context.end(), answer.tokens.begin(), answer.tokens.end());
        accepted += static_cast<int>(answer.tokens.size()) - 1;
        proposed += kDrafts;
        ++rounds;
    }
    tle::VecTokens const got(context.begin() + static_cast<std::ptrdiff_t>(prompt.size()), context.end());
    holds(first(got, 100) == expected, "drafts changed the output");
    holds(rounds < 60, "drafts saved no steps");
    // Of four drafts that agree with 0.8 each, 0.8 + 0.64 + 0.51 + 0.41 are accepted on average, 59 %.
    holds(accepted > 0.4 * proposed && accepted < 0.8 * proposed, "the share of accepted drafts is another");
}

CLAIM("drafts: with block reuse a round computes what is new alone") {
    tle::ExecutorConfig config;
    config.setKvCacheConfig(tle::KvCacheConfig(true));
    auto target = bench::open("null,external_drafts=4,tokens_per_block=8", config);
    auto const prompt = bench::prompt(64);
    auto context = prompt;
    auto const one = bench::answer_of(target, verifying(context, {}, 1));
    same(one.metrics().kvCacheMetrics.numReusedBlocks, 0, "reused blocks of the first round");
    context.insert(context.end(), one.tokens.begin(), one.tokens.end());
    auto const two = bench::answer_of(target, verifying(context, {}, 1));
    same(two.metrics().kvCacheMetrics.numReusedBlocks, 8, "reused blocks of the second round");
}

CLAIM("drafts: more than the engine was built for, and any to an engine that was not, are refused") {
    auto target = bench::open(kTarget);
    auto plain = bench::open("null,draft_len=4");
    auto const five = verifying(bench::prompt(8), {1, 2, 3, 4, 5}, 6);
    contains(bench::answer_of(target, five).error, "5 draft tokens exceed the maximum draft length 4");
    auto const one = verifying(bench::prompt(8), {1}, 2);
    contains(bench::answer_of(plain, one).error, "1 draft tokens exceed the maximum draft length 0");
    contains(thrown_by([] { bench::open("null,draft_len=2,external_drafts=2"); }), "one way of drafting");
}

CLAIM("drafts: an engine that verifies them is not loaded without block reuse") {
    contains(thrown_by([] { driven::open(kTarget); }), "block reuse must be enabled");
}

CLAIM("engine: drafts cross the line beside the prompt, and must lie within the buffer") {
    auto const engine = driven::open(kTarget, 0, true);
    auto head = driven::head(1, 3);
    head.streaming = false;
    head.perf_metrics = true;
    head.draft_start = 6;
    head.draft_len = 2;
    auto const records = driven::run(*engine, {head});
    same(records.at(1).stamps.draft_tokens, 2, "draft tokens");
    head.draft_start = 7;
    contains(thrown_by([&] { driven::submit(*engine, {head}); }), "the draft of request 1 ends at token 9");
}

CLAIM("drafts: room is kept for those of one step behind every sequence") {
    auto target = bench::open("null,max_seq_len=32,external_drafts=4");
    auto const clamped = bench::answer_of(target, verifying(bench::prompt(29), {1, 2}, 3));
    same(clamped.tokens.size(), 1U, "tokens");
    auto const none_sent = bench::answer_of(target, verifying(bench::prompt(28), {}, 1));
    contains(none_sent.error, "draft tokens exceed the maximum sequence length (32)");
    same(bench::answer_of(target, verifying(bench::prompt(27), {}, 1)).tokens.size(), 1U, "tokens");
}
