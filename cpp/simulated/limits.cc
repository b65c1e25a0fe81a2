// Limits of one executor: those of the build combined with the caller's settings.
#include "bareflight/cpp/simulated/limits.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace tensorrt_llm::simulation {

namespace {

std::int32_t within_build(std::optional<std::int32_t> asked, std::int32_t built, char const* name) {
    if (asked && *asked > built) {
        throw std::runtime_error(std::string(name) + " of the settings is " + std::to_string(*asked) +
                                 " but the engine was built for " + std::to_string(built) +
                                 ": lower it, or raise the profile's " + name);
    }
    return asked.value_or(built);
}

std::int32_t kv_blocks_of(Profile const& profile, executor::KvCacheConfig const& config) {
    auto tokens = profile.kv.capacity(config.getFreeGpuMemoryFraction().value_or(kDefaultKvFraction));
    if (config.getMaxTokens()) {
        tokens = std::min<std::int64_t>(tokens, *config.getMaxTokens());
    }
    auto const blocks = tokens / profile.limits.tokens_per_block;
    if (blocks == 0) {
        throw std::runtime_error("the KV cache holds " + std::to_string(tokens) +
                                 " tokens, less than one block of " +
                                 std::to_string(profile.limits.tokens_per_block) + ": give it more memory");
    }
    return static_cast<std::int32_t>(std::min<std::int64_t>(blocks, 1 << 24));
}

/// An engine is built for one way of drafting; of a profile, `draft_len` or `external_drafts` says that it
/// is.
void require_drafts(Profile const& profile, executor::ExecutorConfig const& config) {
    using executor::DecodingMode;
    auto const decoding = config.getDecodingConfig();
    auto const mode = decoding ? decoding->getDecodingMode() : std::nullopt;
    if (!mode) {
        return;
    }
    auto const own = {DecodingMode::Medusa(), DecodingMode::Lookahead(), DecodingMode::Eagle(),
                      DecodingMode::ExplicitDraftTokens()};
    if (profile.behaviour.draft_len == 0 && std::find(own.begin(), own.end(), *mode) != own.end()) {
        throw std::runtime_error(
            "the decoding mode proposes draft tokens but the engine was not built for any: give the profile "
            "a "
            "draft_len");
    }
    if (profile.behaviour.external_drafts == 0 && *mode == DecodingMode::ExternalDraftTokens()) {
        throw std::runtime_error(
            "the decoding mode verifies drafts from outside but the engine was not built for any: give the "
            "profile "
            "external_drafts");
    }
}

}  // namespace

Limits resolve_limits(Profile const& profile, executor::ExecutorConfig const& config) {
    auto const& built = profile.limits;
    auto const scheduler = config.getSchedulerConfig();
    if (config.getBatchingType() != executor::BatchingType::kINFLIGHT ||
        scheduler.getCapacitySchedulerPolicy() == executor::CapacitySchedulerPolicy::kSTATIC_BATCH) {
        throw std::runtime_error("static batching is not supported: use in-flight batching");
    }
    require_drafts(profile, config);
    if (profile.behaviour.external_drafts > 0 && !config.getKvCacheConfig().getEnableBlockReuse()) {
        throw std::runtime_error(
            "KV cache block reuse must be enabled for speculative decoding target model");
    }
    Limits limits{};
    limits.max_batch_size = within_build(config.getMaxBatchSize(), built.max_batch_size, "max_batch_size");
    limits.max_num_tokens = within_build(config.getMaxNumTokens(), built.max_num_tokens, "max_num_tokens");
    limits.max_beam_width = within_build(config.getMaxBeamWidth(), built.max_beam_width, "max_beam_width");
    limits.vocab_size = built.vocab_size;
    limits.external_drafts = profile.behaviour.external_drafts;
    limits.draft_len = std::max(profile.behaviour.draft_len, limits.external_drafts);
    limits.kv_blocks = kv_blocks_of(profile, config.getKvCacheConfig());
    limits.tokens_per_block = built.tokens_per_block;
    limits.chunked_context = config.getEnableChunkedContext();
    limits.block_reuse = built.can_reuse && config.getKvCacheConfig().getEnableBlockReuse();
    limits.kv_event_buffer = limits.block_reuse ? config.getKvCacheConfig().getEventBufferMaxSize() : 0;
    limits.equal_progress =
        scheduler.getContextChunkingPolicy() == executor::ContextChunkingPolicy::kEQUAL_PROGRESS;
    limits.max_utilization =
        scheduler.getCapacitySchedulerPolicy() == executor::CapacitySchedulerPolicy::kMAX_UTILIZATION;
    auto const parallel = config.getParallelConfig();
    limits.orchestrator =
        parallel && parallel->getCommunicationMode() == executor::CommunicationMode::kORCHESTRATOR;
    limits.max_queue_size = config.getMaxQueueSize();
    auto const peft = config.getPeftCacheConfig();
    limits.lora_prefetched = peft && peft->getLoraPrefetchDir().has_value();

    // A sequence must fit the cache alone, or it could never run.
    auto const kv_tokens = static_cast<std::int64_t>(limits.kv_blocks) * limits.tokens_per_block;
    limits.max_seq_len = static_cast<std::int32_t>(
        std::max<std::int64_t>(2, std::min<std::int64_t>(built.max_seq_len, kv_tokens - limits.draft_len)));
    limits.max_input_len = limits.max_seq_len - 1;
    if (!limits.chunked_context) {
        limits.max_input_len = std::min(limits.max_input_len, limits.max_num_tokens);
    }
    limits.max_input_len = std::min(limits.max_input_len, built.max_input_len.value_or(limits.max_input_len));
    return limits;
}

}  // namespace tensorrt_llm::simulation
