// Conversion of our settings to the executor's configuration.
//
// Default constructors and setters only: parameter lists drift between releases. Members that come and go are
// probed.
#include <string>
#include <type_traits>
#include <utility>

#include "bareflight/cpp/convert.h"
#include "bareflight/cpp/probes.h"

namespace tensorrt_llm::executor {

// The library's own where it has one; releases before it leave the name unknown, and it is only probed.
class EagleConfig;

}  // namespace tensorrt_llm::executor

namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE {

namespace tle = tensorrt_llm::executor;
using namespace probes;

namespace {

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

/// The library's own defaults, except for what is set; a folder of adapters only where its release can look
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

}  // namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE
