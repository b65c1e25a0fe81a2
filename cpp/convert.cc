// Conversion of our requests to the executor's, and of its responses to ours.
//
// Default constructors and setters only: parameter lists drift between releases. Members that come and go are
// probed.
#include "bareflight/cpp/convert.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "bareflight/cpp/probes.h"

namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE {

namespace tle = tensorrt_llm::executor;
using namespace probes;

namespace {

template <typename Sampling>
void set_penalties(RequestHead const& head, Sampling& sampling) {
    if (head.repetition_penalty != 0) {
        sampling.setRepetitionPenalty(head.repetition_penalty);
    }
    if (head.presence_penalty != 0) {
        sampling.setPresencePenalty(head.presence_penalty);
    }
    if (head.frequency_penalty != 0) {
        sampling.setFrequencyPenalty(head.frequency_penalty);
    }
    if (head.length_penalty != 0) {
        sampling.setLengthPenalty(head.length_penalty);
    }
    if (head.min_p != 0) {
        if constexpr (HasMinP<Sampling>::value) {
            sampling.setMinP(head.min_p);
        } else {
            refuse_unknown("min-p");
        }
    }
}

template <typename Sampling>
void set_sampling(RequestHead const& head, Sampling& sampling) {
    if (head.top_k != 0) {
        sampling.setTopK(head.top_k);
    }
    if (head.top_p != 0) {
        sampling.setTopP(head.top_p);
    }
    if (head.temperature >= 0) {
        sampling.setTemperature(head.temperature);
    }
    if constexpr (HasSeed<Sampling>::value) {
        sampling.setSeed(head.seed);
    } else if constexpr (HasRandomSeed<Sampling>::value) {
        sampling.setRandomSeed(head.seed);
    }
    if (head.min_tokens > 0) {
        if constexpr (HasMinTokens<Sampling>::value) {
            sampling.setMinTokens(head.min_tokens);
        } else if constexpr (HasMinLength<Sampling>::value) {
            sampling.setMinLength(head.min_tokens);
        }
    }
}

template <typename Output>
void set_output(RequestHead const& head, Output& output) {
    output.excludeInputFromOutput = true;
    if constexpr (HasReturnPerfMetrics<Output>::value) {
        output.returnPerfMetrics = head.perf_metrics;
    }
}

template <typename Request>
void set_allotted_time(RequestHead const& head, Request& request) {
    if constexpr (HasAllottedTime<Request>::value) {
        if (head.allotted_ms > 0) {
            request.setAllottedTimeMs(std::chrono::milliseconds(head.allotted_ms));
        }
    }
}

template <typename TimePoint>
std::int64_t nanoseconds(TimePoint point) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(point.time_since_epoch()).count();
}

template <typename Metrics>
Ending make_ending(Metrics const& metrics) {
    auto const& timing = metrics.timingMetrics;
    auto const& kv = metrics.kvCacheMetrics;
    Ending ending{};
    ending.arrival_ns = nanoseconds(timing.arrivalTime);
    ending.first_scheduled_ns = nanoseconds(timing.firstScheduledTime);
    ending.first_token_ns = nanoseconds(timing.firstTokenTime);
    ending.last_token_ns = nanoseconds(timing.lastTokenTime);
    ending.kv_total_blocks = kv.numTotalAllocatedBlocks;
    ending.kv_new_blocks = kv.numNewAllocatedBlocks;
    ending.kv_reused_blocks = kv.numReusedBlocks;
    ending.kv_missed_blocks = -1;
    if constexpr (HasMissedBlocks<Metrics const>::value) {
        ending.kv_missed_blocks = kv.numMissedBlocks;
    }
    if constexpr (HasSpeculation<Metrics const>::value) {
        ending.draft_tokens = metrics.speculativeDecoding.totalDraftTokens;
        ending.accepted_draft_tokens = metrics.speculativeDecoding.totalAcceptedDraftTokens;
    }
    if constexpr (HasIterations<Metrics const>::value) {
        ending.first_iteration = metrics.firstIter.value_or(0);
        ending.last_iteration = metrics.lastIter.value_or(0);
    }
    return ending;
}

/// Index of the ending appended, or -1.
template <typename Result>
std::int32_t append_ending(Result const& result, Batch& batch) {
    if constexpr (HasPerfMetrics<Result const>::value) {
        if (result.isFinal && result.requestPerfMetrics) {
            batch.endings.push_back(make_ending(*result.requestPerfMetrics));
            return static_cast<std::int32_t>(batch.endings.size() - 1);
        }
    }
    return -1;
}

}  // namespace

tle::Request make_request(RequestHead const& head, std::int32_t const* tokens, Words const& words) {
    auto const* const prompt = tokens + head.prompt_start;
    tle::SamplingConfig sampling(head.beam_width > 1 ? head.beam_width : 1);
    set_sampling(head, sampling);
    set_penalties(head, sampling);
    tle::OutputConfig output;
    set_output(head, output);
    tle::Request request(tle::VecTokens(prompt, prompt + head.prompt_len), head.max_tokens, head.streaming,
                         sampling);
    request.setOutputConfig(output);
    request.setClientId(head.id);
    request.setPriority(head.priority);
    if (head.end_id >= 0) {
        request.setEndId(head.end_id);
    }
    if (head.pad_id >= 0) {
        request.setPadId(head.pad_id);
    }
    if (head.lora_task != 0) {
        request.setLoraConfig(tle::LoraConfig(head.lora_task));
    }
    if (!words.stop.empty()) {
        request.setStopWords(words.stop);
    }
    if (!words.bad.empty()) {
        request.setBadWords(words.bad);
    }
    if (head.draft_len > 0) {
        auto const* const drafts = tokens + head.draft_start;
        request.setExternalDraftTokensConfig(
            tle::ExternalDraftTokensConfig(tle::VecTokens(drafts, drafts + head.draft_len)));
    }
    set_allotted_time(head, request);
    return request;
}

void append_result(std::uint64_t id, std::int64_t received_ns, tle::Result const& result,
                   std::size_t delivered, Batch& batch) {
    Delivery delivery{};
    delivery.id = id;
    delivery.received_ns = received_ns;
    delivery.token_start = static_cast<std::uint32_t>(batch.tokens.size());
    if (!result.outputTokenIds.empty()) {
        auto const& row = result.outputTokenIds.front();
        auto const repeated = std::min(delivered, row.size());
        batch.tokens.insert(batch.tokens.end(), row.begin() + static_cast<std::ptrdiff_t>(repeated),
                            row.end());
        delivery.token_count = static_cast<std::uint32_t>(row.size() - repeated);
    }
    delivery.is_final = result.isFinal;
    delivery.finish_reason =
        result.finishReasons.empty() ? 0 : static_cast<std::int32_t>(result.finishReasons.front());
    delivery.error = -1;
    delivery.ending = append_ending(result, batch);
    batch.deliveries.push_back(delivery);
}

void append_error(std::uint64_t id, std::int64_t received_ns, std::string const& message, Batch& batch) {
    batch.errors.push_back(message);
    Delivery delivery{};
    delivery.id = id;
    delivery.received_ns = received_ns;
    delivery.token_start = static_cast<std::uint32_t>(batch.tokens.size());
    delivery.is_final = true;
    delivery.error = static_cast<std::int32_t>(batch.errors.size() - 1);
    delivery.ending = -1;
    batch.deliveries.push_back(delivery);
}

}  // namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE
