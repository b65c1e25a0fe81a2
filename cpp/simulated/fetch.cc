// Late validation, clamping and hashing of a request when the loop fetches it.
#include "bareflight/cpp/simulated/fetch.h"

#include <algorithm>

#include "bareflight/cpp/simulated/logger.h"

namespace tensorrt_llm::simulation {

namespace {

/// Drafts of the one step of a request, or the most that the engine was built for where it brings none: so
/// TensorRT-LLM keeps room for them.
std::int64_t room_for_drafts(executor::Request::Fields const& request, Limits const& limits) {
    auto const& draft = request.externalDraftTokensConfig;
    return draft ? static_cast<std::int64_t>(draft->getTokens().size()) : limits.external_drafts;
}

std::optional<std::string> refuse_length(executor::Request::Fields const& request, Limits const& limits) {
    auto const prompt = static_cast<std::int64_t>(request.inputTokenIds.size());
    if (prompt > limits.max_input_len) {
        return "Prompt length (" + std::to_string(prompt) + ") exceeds maximum input length (" +
               std::to_string(limits.max_input_len) + "): shorten the prompt or build for longer ones";
    }
    if (prompt + room_for_drafts(request, limits) >= limits.max_seq_len) {
        return "Prompt length (" + std::to_string(prompt) +
               ") and draft tokens exceed the maximum sequence length (" +
               std::to_string(limits.max_seq_len) + ")";
    }
    bool const cannot_resume = limits.max_utilization && request.streaming && !limits.chunked_context;
    if (cannot_resume && prompt + request.maxTokens - 1 > limits.max_input_len) {
        return "with MAX_UTILIZATION, streaming and no chunked context, prompt length + maxTokens - 1 (" +
               std::to_string(prompt + request.maxTokens - 1) + ") must not exceed maximum input length (" +
               std::to_string(limits.max_input_len) + ")";
    }
    return std::nullopt;
}

std::optional<std::string> refuse_options(executor::Request::Fields const& request, Limits const& limits) {
    auto const end_id = request.endId.value_or(-1);
    if (end_id < -1 || end_id >= limits.vocab_size) {
        return "the end id " + std::to_string(end_id) + " is outside [-1, " +
               std::to_string(limits.vocab_size) + ")";
    }
    auto const beam_width = request.samplingConfig.getBeamWidth();
    if (beam_width > limits.max_beam_width) {
        return "the beam width " + std::to_string(beam_width) + " exceeds the maximum beam width " +
               std::to_string(limits.max_beam_width);
    }
    auto const& draft = request.externalDraftTokensConfig;
    if (draft && draft->getTokens().size() > static_cast<std::size_t>(limits.external_drafts)) {
        return std::to_string(draft->getTokens().size()) + " draft tokens exceed the maximum draft length " +
               std::to_string(limits.external_drafts) + " of drafts from outside";
    }
    if (draft && beam_width > 1) {
        return std::string("drafts are verified for one beam alone");
    }
    return std::nullopt;
}

std::optional<std::string> refuse_adapter(executor::Request::Fields const& request, Limits const& limits,
                                          std::set<executor::IdType>& lora_cache) {
    if (!request.loraConfig || limits.lora_prefetched) {
        return std::nullopt;
    }
    auto const task = request.loraConfig->getTaskId();
    if (request.loraConfig->getWeights()) {
        lora_cache.insert(task);
    }
    if (lora_cache.count(task) == 0) {
        return "LoRA task " + std::to_string(task) +
               " is not cached: send its weights along with the first request";
    }
    return std::nullopt;
}

void hash_prompt_blocks(Job& job, Limits const& limits) {
    auto const& prompt = job.request.inputTokenIds;
    auto const lora = job.request.loraConfig ? job.request.loraConfig->getTaskId() + 1 : 0;
    job.chain_root = mix(mix(job.request.cacheSaltID.value_or(0)) ^ lora);
    if (!limits.block_reuse || job.beam_width > 1) {
        return;
    }
    auto hash = job.chain_root;
    auto const block = static_cast<std::size_t>(limits.tokens_per_block);
    job.prompt_chain.reserve(prompt.size() / block);
    for (std::size_t i = 0; i + block <= prompt.size(); i += block) {
        for (std::size_t at = i; at < i + block; ++at) {
            hash = chain(hash, prompt[at]);
        }
        job.prompt_chain.push_back(hash);
    }
}

std::shared_ptr<Job> make_job(Queued&& queued, Limits const& limits, Clock::time_point now) {
    auto job = std::make_shared<Job>();
    job->id = queued.id;
    job->request = std::move(queued.request);
    auto const& request = job->request;
    auto const& sampling = request.samplingConfig;
    job->arrived = now;
    job->prompt_len = static_cast<std::int32_t>(request.inputTokenIds.size());
    auto const room = limits.max_seq_len - job->prompt_len - room_for_drafts(request, limits);
    job->max_tokens = std::min(request.maxTokens, static_cast<std::int32_t>(room));
    if (job->max_tokens < request.maxTokens) {
        log(LogLevel::Warning, "an output of " + std::to_string(request.maxTokens) +
                                   " tokens does not fit: it ends after " + std::to_string(job->max_tokens));
    }
    job->end_id = request.endId.value_or(-1);
    job->min_tokens = sampling.getMinTokens().value_or(0);
    job->beam_width = sampling.getBeamWidth();
    job->return_beams = sampling.getNumReturnBeams();
    job->cumulative = request.returnAllGeneratedTokens || (request.streaming && job->beam_width > 1);
    job->open_sequences = job->beam_width == 1 ? request.numReturnSequences : 1;
    job->prompt_prefix = chain_over(request.inputTokenIds);
    if (request.externalDraftTokensConfig) {
        job->drafts = request.externalDraftTokensConfig->getTokens();
    }
    hash_prompt_blocks(*job, limits);
    return job;
}

}  // namespace

std::optional<std::string> reason_to_refuse(executor::Request::Fields const& request, Limits const& limits,
                                            std::set<executor::IdType>& lora_cache) {
    auto reason = refuse_length(request, limits);
    if (!reason) {
        reason = refuse_options(request, limits);
    }
    return reason ? reason : refuse_adapter(request, limits, lora_cache);
}

std::vector<std::unique_ptr<Sequence>> make_sequences(Queued&& queued, Limits const& limits,
                                                      Behaviour const& behaviour, Clock::time_point now) {
    auto const job = make_job(std::move(queued), limits, now);
    auto const seed = job->request.samplingConfig.getSeed().value_or(0);
    std::vector<std::unique_ptr<Sequence>> sequences;
    for (std::int32_t index = 0; index < job->open_sequences; ++index) {
        auto sequence = std::make_unique<Sequence>();
        sequence->job = job;
        sequence->index = index;
        sequence->tokens = TokenSource(behaviour.seed, seed + static_cast<std::uint64_t>(index),
                                       limits.vocab_size, job->end_id, behaviour.agreement);
        sequence->prefix = job->prompt_prefix;
        sequence->context_len = job->prompt_len;
        sequence->perf.timingMetrics.arrivalTime = now;
        sequences.push_back(std::move(sequence));
    }
    return sequences;
}

}  // namespace tensorrt_llm::simulation
