// Token generation of one step: drafts, end token, stop words, length, and the response made of them.
#include "bareflight/cpp/simulated/generation.h"

#include <algorithm>
#include <cmath>

namespace tensorrt_llm::simulation {

namespace {

using executor::FinishReason;

bool ends_with(Sequence const& sequence, executor::VecTokens const& word) {
    auto const length = static_cast<std::int32_t>(word.size());
    if (length == 0 || length > sequence.generated) {
        return false;
    }
    auto const first = sequence.generated - length;
    for (std::int32_t i = 0; i < length; ++i) {
        if (sequence.token(first + i) != word[static_cast<std::size_t>(i)]) {
            return false;
        }
    }
    return true;
}

bool at_end_token(Sequence const& sequence, Behaviour const& behaviour) {
    auto const& job = *sequence.job;
    return behaviour.eos_after && job.end_id >= 0 &&
           sequence.generated >= std::max(*behaviour.eos_after, job.min_tokens);
}

bool at_stop_word(Sequence const& sequence) {
    auto const& job = *sequence.job;
    auto const& words = job.request.stopWords;
    return words && sequence.generated >= job.min_tokens &&
           std::any_of(words->begin(), words->end(),
                       [&](executor::VecTokens const& word) { return ends_with(sequence, word); });
}

/// Drafts of one step: the engine's own where it makes some, or those that came with the request.
std::int32_t drafted(Sequence const& sequence, Behaviour const& behaviour, bool decoding) {
    auto const& drafts = sequence.job->drafts;
    return drafts.empty() && decoding ? behaviour.draft_len : static_cast<std::int32_t>(drafts.size());
}

/// Whether the next token of the sequence equals draft number `index` of this step.
bool is_accepted(Sequence const& sequence, Behaviour const& behaviour, std::int32_t index) {
    auto const& drafts = sequence.job->drafts;
    if (drafts.empty()) {
        return sequence.tokens.chance_after(sequence.prefix) < behaviour.acceptance;
    }
    return sequence.tokens.token_after(sequence.prefix) == drafts[static_cast<std::size_t>(index)];
}

/// Why the sequence ends with the token it just got, if it does.
std::optional<FinishReason> reason_to_end(Sequence const& sequence) {
    if (at_stop_word(sequence)) {
        return FinishReason::kSTOP_WORDS;
    }
    bool const full = sequence.generated >= sequence.job->max_tokens;
    return full ? std::make_optional(FinishReason::kLENGTH) : std::nullopt;
}

executor::VecTokens tokens_of(Sequence const& sequence, std::int32_t beam, std::int32_t first,
                              std::int32_t count, bool with_prompt) {
    executor::VecTokens tokens;
    if (with_prompt) {
        auto const& prompt = sequence.job->request.inputTokenIds;
        tokens.reserve(prompt.size() + static_cast<std::size_t>(count));
        tokens.assign(prompt.begin(), prompt.end());
    } else {
        tokens.reserve(static_cast<std::size_t>(count));
    }
    for (auto at = first; at < first + count; ++at) {
        tokens.push_back(sequence.token(at, beam));
    }
    return tokens;
}

/// A uniform distribution's: nothing was computed.
void add_log_probs(Sequence const& sequence, std::size_t rows, std::int32_t vocab_size,
                   executor::Result& result) {
    auto const each = -std::log(static_cast<float>(vocab_size));
    auto const count = static_cast<std::size_t>(sequence.generated);
    result.logProbs.emplace(rows, executor::VecLogProbs(count, each));
    result.cumLogProbs.emplace(rows, each * static_cast<float>(count));
}

}  // namespace

Step generate(Sequence& sequence, Behaviour const& behaviour, bool decoding) {
    Step step;
    step.first = sequence.generated;
    step.drafted = drafted(sequence, behaviour, decoding);
    // One token of its own follows the accepted drafts.
    for (bool more = true; more && !sequence.finished;) {
        if (at_end_token(sequence, behaviour)) {
            sequence.finished = FinishReason::kEND_ID;
            break;
        }
        auto const index = sequence.generated - step.first;
        more = index < step.drafted && is_accepted(sequence, behaviour, index);
        sequence.append();
        sequence.finished = reason_to_end(sequence);
    }
    step.count = sequence.generated - step.first;
    step.accepted = std::max(0, step.count - 1);
    ++sequence.decoding_iterations;
    if (behaviour.external_drafts > 0 && !sequence.finished) {
        // As in TensorRT-LLM, an engine that verifies drafts from outside makes one step for each request.
        sequence.finished = FinishReason::kNOT_FINISHED;
    }
    return step;
}

std::optional<executor::Response> respond(Sequence const& sequence, Step const& step,
                                          std::int32_t vocab_size) {
    auto const& job = *sequence.job;
    auto const& output = job.request.outputConfig;
    if (!job.request.streaming && !sequence.finished) {
        return std::nullopt;
    }
    bool const everything = !job.request.streaming || job.cumulative;
    bool const with_prompt = !job.request.streaming && !output.excludeInputFromOutput;
    auto const rows = static_cast<std::size_t>(job.return_beams);

    executor::Result result{};
    result.isSequenceFinal = sequence.finished.has_value();
    result.isFinal = result.isSequenceFinal && job.open_sequences == 0;
    result.sequenceIndex = sequence.index;
    result.outputTokenIds.reserve(rows);
    for (std::size_t beam = 0; beam < rows; ++beam) {
        result.outputTokenIds.push_back(tokens_of(sequence, static_cast<std::int32_t>(beam),
                                                  everything ? 0 : step.first,
                                                  everything ? sequence.generated : step.count, with_prompt));
    }
    result.finishReasons.assign(rows, sequence.finished.value_or(FinishReason::kNOT_FINISHED));
    result.decodingIter = sequence.decoding_iterations;
    result.avgDecodedTokensPerIter = static_cast<float>(sequence.generated) /
                                     static_cast<float>(std::max(1, sequence.decoding_iterations));
    if (output.returnLogProbs) {
        add_log_probs(sequence, rows, vocab_size, result);
    }
    if (output.returnPerfMetrics) {
        result.requestPerfMetrics = sequence.perf;
    }
    return executor::Response(job.id, std::move(result), job.request.clientId);
}

}  // namespace tensorrt_llm::simulation
