// How do our plain values become the executor's, and its responses ours?
//
// Default constructors and setters only: parameter lists drift between releases. Members that come and go are
// probed.
#include "bareflight/cpp/convert.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace tensorrt_llm::executor {

// The library's own where it has one; releases before it leave the name unknown, and it is only probed.
class EagleConfig;

}  // namespace tensorrt_llm::executor

namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE {

namespace tle = tensorrt_llm::executor;

namespace {

/// `Has##Name<T>` is true where `expression`, in terms of a `T& t`, compiles.
#define BAREFLIGHT_PROBE(Name, expression) \
    template <typename T, typename = void> \
    struct Has##Name : std::false_type {}; \
    template <typename T>                  \
    struct Has##Name<T, std::void_t<decltype(std::declval<T&>().expression)>> : std::true_type {}

BAREFLIGHT_PROBE(Seed, setSeed(std::uint64_t{}));
BAREFLIGHT_PROBE(RandomSeed, setRandomSeed(std::uint64_t{}));
BAREFLIGHT_PROBE(MinTokens, setMinTokens(std::int32_t{}));
BAREFLIGHT_PROBE(MinLength, setMinLength(std::int32_t{}));
BAREFLIGHT_PROBE(AllottedTime, setAllottedTimeMs(std::chrono::milliseconds{}));
BAREFLIGHT_PROBE(ReturnPerfMetrics, returnPerfMetrics);
BAREFLIGHT_PROBE(PerfMetrics, requestPerfMetrics);
BAREFLIGHT_PROBE(Speculation, speculativeDecoding);
BAREFLIGHT_PROBE(MissedBlocks, kvCacheMetrics.numMissedBlocks);
BAREFLIGHT_PROBE(Iterations, firstIter);
BAREFLIGHT_PROBE(PartialReuse, setEnablePartialReuse(true));
BAREFLIGHT_PROBE(CudaGraphs, setCudaGraphMode(true));
BAREFLIGHT_PROBE(MinP, setMinP(std::optional<float>{}));
BAREFLIGHT_PROBE(AttentionWindows, setMaxAttentionWindowVec(std::vector<std::int32_t>{}));
BAREFLIGHT_PROBE(SinkTokens, setSinkTokenLength(std::int32_t{}));
BAREFLIGHT_PROBE(EventBuffer, setEventBufferMaxSize(std::size_t{}));

BAREFLIGHT_PROBE(EagleMode, Eagle());

#undef BAREFLIGHT_PROBE

/// True where the library defines `T` and does not only leave us its name.
template <typename T, typename = void>
struct IsDefined : std::false_type {};
template <typename T>
struct IsDefined<T, std::void_t<decltype(sizeof(T))>> : std::true_type {};

/// For a setting that this library's release does not have: better no run than one without it.
[[noreturn]] void refuse_unknown(char const* name) {
    throw std::invalid_argument(std::string("this release of the library has no setting for ") + name +
                                ": leave it out");
}

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

template <typename Cache>
void set_kv_cache(Settings const& settings, Cache& cache) {
    cache.setEnableBlockReuse(settings.kv_block_reuse);
    if constexpr (HasPartialReuse<Cache>::value) {
        cache.setEnablePartialReuse(settings.kv_partial_reuse);
    }
    if (settings.kv_max_tokens > 0) {
        cache.setMaxTokens(settings.kv_max_tokens);
    }
    if (settings.kv_free_gpu_fraction > 0) {
        cache.setFreeGpuMemoryFraction(settings.kv_free_gpu_fraction);
    }
    if (settings.kv_host_cache_bytes > 0) {
        cache.setHostCacheSize(settings.kv_host_cache_bytes);
    }
    if (!settings.kv_attention_windows.empty()) {
        if constexpr (HasAttentionWindows<Cache>::value) {
            cache.setMaxAttentionWindowVec(settings.kv_attention_windows);
        } else {
            refuse_unknown("attention windows");
        }
    }
    if (settings.kv_sink_tokens > 0) {
        if constexpr (HasSinkTokens<Cache>::value) {
            cache.setSinkTokenLength(settings.kv_sink_tokens);
        } else {
            refuse_unknown("sink tokens");
        }
    }
    if (settings.kv_event_buffer > 0) {
        if constexpr (HasEventBuffer<Cache>::value) {
            cache.setEventBufferMaxSize(settings.kv_event_buffer);
        } else {
            refuse_unknown("events of the KV cache");
        }
    }
}

template <typename Mode>
Mode eagle_mode() {
    if constexpr (HasEagleMode<Mode>::value) {
        return Mode::Eagle();
    } else {
        refuse_unknown("Eagle (`--decoding eagle`)");
    }
}

std::optional<tle::DecodingMode> mode_of(DecodingKind kind) {
    switch (kind) {
        case DecodingKind::Auto:
            return tle::DecodingMode::Auto();
        case DecodingKind::TopK:
            return tle::DecodingMode::TopK();
        case DecodingKind::TopP:
            return tle::DecodingMode::TopP();
        case DecodingKind::TopKTopP:
            return tle::DecodingMode::TopKTopP();
        case DecodingKind::BeamSearch:
            return tle::DecodingMode::BeamSearch();
        case DecodingKind::Medusa:
            return tle::DecodingMode::Medusa();
        case DecodingKind::Lookahead:
            return tle::DecodingMode::Lookahead();
        case DecodingKind::Eagle:
            return eagle_mode<tle::DecodingMode>();
        case DecodingKind::Unset:
            break;
    }
    return std::nullopt;
}

template <typename Eagle, typename Choices>
tle::DecodingConfig eagle_decoding(tle::DecodingMode const& mode, Choices const& choices) {
    if constexpr (IsDefined<Eagle>::value) {
        std::optional<Eagle> eagle;
        if (!choices.empty()) {
            eagle.emplace(choices);
        }
        return tle::DecodingConfig(mode, std::nullopt, std::nullopt, eagle);
    } else {
        refuse_unknown("Eagle (`--decoding eagle`)");
    }
}

void set_decoding(Settings const& settings, tle::ExecutorConfig& config) {
    auto const mode = mode_of(settings.decoding);
    if (!mode) {
        return;
    }
    if (settings.decoding == DecodingKind::Eagle) {
        config.setDecodingConfig(eagle_decoding<tle::EagleConfig>(*mode, settings.draft_choices));
        return;
    }
    std::optional<tle::LookaheadDecodingConfig> lookahead;
    if (settings.lookahead_window > 0) {
        lookahead.emplace(settings.lookahead_window, settings.lookahead_ngram,
                          settings.lookahead_verification);
    }
    std::optional<tle::MedusaChoices> medusa;
    if (!settings.draft_choices.empty() && settings.decoding == DecodingKind::Medusa) {
        medusa = settings.draft_choices;
    }
    config.setDecodingConfig(tle::DecodingConfig(mode, lookahead, medusa));
}

/// The library's own defaults, but for what was asked; a folder of adapters only where its release can look
/// there.
template <typename Cache>
Cache lora_cache(Settings const& settings) {
    auto const optional_if = [](bool set, auto value) {
        return set ? std::make_optional(value) : std::nullopt;
    };
    int const rank = settings.lora_max_rank > 0 ? settings.lora_max_rank : 64;
    auto const device =
        optional_if(settings.lora_device_cache_fraction > 0, settings.lora_device_cache_fraction);
    auto const host = optional_if(settings.lora_host_cache_bytes > 0,
                                  static_cast<std::size_t>(settings.lora_host_cache_bytes));
    if (settings.lora_prefetch_dir.empty()) {
        return Cache(0, 0, 8, rank, 1, 1, 1, 24, 8, device, host);
    }
    if constexpr (std::is_constructible_v<Cache, int, int, int, int, int, int, int, int, int,
                                          std::optional<float>, std::optional<std::size_t>,
                                          std::optional<std::string>>) {
        return Cache(0, 0, 8, rank, 1, 1, 1, 24, 8, device, host,
                     std::optional<std::string>(std::string(settings.lora_prefetch_dir)));
    } else {
        refuse_unknown("a folder of LoRA adapters (`--lora-dir`)");
    }
}

void set_lora_cache(Settings const& settings, tle::ExecutorConfig& config) {
    bool const asked = settings.lora_host_cache_bytes > 0 || settings.lora_device_cache_fraction > 0 ||
                       settings.lora_max_rank > 0 || !settings.lora_prefetch_dir.empty();
    if (!asked) {
        return;
    }
    config.setPeftCacheConfig(lora_cache<tle::PeftCacheConfig>(settings));
}

template <typename Knobs>
void set_knobs(Settings const& settings, Knobs& knobs) {
    knobs.setMultiBlockMode(settings.multi_block_mode);
    if constexpr (HasCudaGraphs<Knobs>::value) {
        knobs.setCudaGraphMode(settings.cuda_graphs);
        if (settings.cuda_graph_cache_size > 0) {
            knobs.setCudaGraphCacheSize(settings.cuda_graph_cache_size);
        }
    }
}

tle::SchedulerConfig make_scheduler(Settings const& settings) {
    auto const capacity = settings.capacity_policy == CapacityPolicy::MaxUtilization
                              ? tle::CapacitySchedulerPolicy::kMAX_UTILIZATION
                              : tle::CapacitySchedulerPolicy::kGUARANTEED_NO_EVICT;
    auto const chunking = settings.chunking_policy == ChunkingPolicy::EqualProgress
                              ? tle::ContextChunkingPolicy::kEQUAL_PROGRESS
                              : tle::ContextChunkingPolicy::kFIRST_COME_FIRST_SERVED;
    return tle::SchedulerConfig(capacity, chunking);
}

void set_parallel(Settings const& settings, tle::ExecutorConfig& config) {
    if (settings.device_ids.empty() && settings.orchestrator_worker.empty()) {
        return;
    }
    tle::ParallelConfig parallel;
    if (!settings.device_ids.empty()) {
        parallel.setDeviceIds(settings.device_ids);
    }
    if (!settings.orchestrator_worker.empty()) {
        parallel.setCommunicationMode(tle::CommunicationMode::kORCHESTRATOR);
        parallel.setOrchestratorConfig(tle::OrchestratorConfig(true, settings.orchestrator_worker));
    }
    config.setParallelConfig(parallel);
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

tle::ExecutorConfig make_config(Settings const& settings) {
    tle::ExecutorConfig config(settings.max_beam_width > 0 ? settings.max_beam_width : 1);
    config.setSchedulerConfig(make_scheduler(settings));
    tle::KvCacheConfig cache;
    set_kv_cache(settings, cache);
    config.setKvCacheConfig(cache);
    config.setEnableChunkedContext(settings.enable_chunked_context);
    config.setIterStatsMaxIterations(settings.iteration_stats_ring);
    if (settings.max_batch_size > 0) {
        config.setMaxBatchSize(settings.max_batch_size);
    }
    if (settings.max_num_tokens > 0) {
        config.setMaxNumTokens(settings.max_num_tokens);
    }
    if (settings.max_queue_size > 0) {
        config.setMaxQueueSize(settings.max_queue_size);
    }
    if (settings.gpu_weights_fraction > 0) {
        config.setGpuWeightsPercent(settings.gpu_weights_fraction);
    }
    tle::ExtendedRuntimePerfKnobConfig knobs;
    set_knobs(settings, knobs);
    config.setExtendedRuntimePerfKnobConfig(knobs);
    set_parallel(settings, config);
    set_decoding(settings, config);
    set_lora_cache(settings, config);
    return config;
}

tle::Request make_request(RequestHead const& head, std::int32_t const* prompt, Words const& words) {
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
