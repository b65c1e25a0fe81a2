// The two capacity policies: which active sequences may run, given the KV memory.
#include "bareflight/cpp/simulated/capacity.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace tensorrt_llm::simulation {

namespace {

/// Blocks that would leave the pool if `sequence` came to hold `wanted` of them.
std::int32_t blocks_missing(Sequence const& sequence, std::int32_t wanted, BlockPool const& pool) {
    if (sequence.started) {
        return std::max(0, wanted - static_cast<std::int32_t>(sequence.blocks.size()));
    }
    auto const reusable = reusable_blocks(sequence, pool);
    return wanted - pool.held_already(sequence.job->prompt_chain, reusable);
}

void admit_guaranteed(ActiveSet const& active, Limits const& limits, BlockPool const& pool,
                      Admission& admission) {
    auto const missing = [&](Sequence const& sequence) {
        return blocks_missing(sequence,
                              sequence.blocks_to_completion(limits.tokens_per_block, limits.draft_len), pool);
    };
    auto available = pool.available();
    for (auto const& sequence : active) {
        available -= sequence->started ? missing(*sequence) : 0;
    }
    bool room = true;
    for (auto const& sequence : active) {
        if (!sequence->started) {
            auto const needed = room ? missing(*sequence) : 0;
            room = room && needed <= available;
            if (!room) {
                continue;
            }
            available -= needed;
        }
        admission.runnable.push_back(sequence.get());
    }
}

std::int32_t blocks_next_step(Sequence const& sequence, Limits const& limits) {
    auto const length = sequence.in_context() ? sequence.context_len : sequence.length() + limits.draft_len;
    return sequence.blocks_for(length, limits.tokens_per_block);
}

void admit_greedily(ActiveSet const& active, Limits const& limits, BlockPool& pool, Admission& admission) {
    std::int32_t promised = 0;
    bool room = true;
    auto tail = active.size();
    for (std::size_t i = 0; i < tail; ++i) {
        auto& sequence = *active[i];
        if (!sequence.started && !room) {
            continue;
        }
        auto const needed = blocks_missing(sequence, blocks_next_step(sequence, limits), pool);
        while (sequence.started && promised + needed > pool.available() && tail > i + 1) {
            auto& victim = *active[--tail];
            if (victim.started) {
                evict(victim, limits, pool);
                victim.paused = true;
                ++admission.paused;
            }
        }
        if (promised + needed > pool.available()) {
            if (!sequence.started) {
                room = false;
                continue;
            }
            evict(sequence, limits, pool);
            sequence.paused = true;
            ++admission.paused;
            return;
        }
        promised += needed;
        admission.runnable.push_back(&sequence);
    }
}

/// Of prompt and output together.
std::int32_t token_at(Sequence const& sequence, std::int32_t at) {
    auto const prompt_len = sequence.job->prompt_len;
    return at < prompt_len ? sequence.job->request.inputTokenIds[static_cast<std::size_t>(at)]
                           : sequence.token(at - prompt_len);
}

executor::KVCacheStoredBlockData stored_block(Sequence const& sequence, std::int32_t index,
                                              std::uint64_t hash, std::int32_t tokens_per_block) {
    runtime::VecUniqueTokens tokens;
    tokens.reserve(static_cast<std::size_t>(tokens_per_block));
    for (auto at = index * tokens_per_block; at < (index + 1) * tokens_per_block; ++at) {
        tokens.push_back({token_at(sequence, at), 0});
    }
    auto const& lora = sequence.job->request.loraConfig;
    std::optional<runtime::LoraTaskIdType> task;
    if (lora) {
        task = lora->getTaskId();
    }
    return {hash, std::move(tokens), task, 0, kDefaultPriority};
}

void name_block(Sequence const& sequence, std::int32_t index, std::uint64_t hash,
                std::optional<std::uint64_t> parent, BlockPool& pool) {
    bool const is_new = pool.name(sequence.blocks[static_cast<std::size_t>(index)], hash);
    if (is_new && pool.events() != nullptr) {
        pool.events()->stored(parent, stored_block(sequence, index, hash, pool.tokens_per_block()));
    }
}

}  // namespace

std::int32_t reusable_blocks(Sequence const& sequence, BlockPool const& pool) {
    return pool.matched(sequence.job->prompt_chain, (sequence.context_len - 1) / pool.tokens_per_block());
}

void admit(ActiveSet const& active, Limits const& limits, BlockPool& pool, Admission& admission) {
    admission.runnable.clear();
    admission.paused = 0;
    if (limits.max_utilization) {
        admit_greedily(active, limits, pool, admission);
        if (admission.paused > 0) {
            // Memory is short, and what a newcomer could share may just have been given back.
            auto const newcomer = [](Sequence const* sequence) { return !sequence->started; };
            auto& runnable = admission.runnable;
            runnable.erase(std::remove_if(runnable.begin(), runnable.end(), newcomer), runnable.end());
        }
    } else {
        admit_guaranteed(active, limits, pool, admission);
    }
}

void name_blocks(Sequence const& sequence, BlockPool& pool) {
    if (!pool.reuses() || sequence.job->beam_width > 1) {
        return;
    }
    // The newest token's keys and values are not in the cache yet.
    auto const computed = sequence.in_context() ? sequence.prefilled : sequence.length() - 1;
    auto const full = std::min<std::int32_t>(computed / pool.tokens_per_block(),
                                             static_cast<std::int32_t>(sequence.blocks.size()));
    auto const& chain_of_prompt = sequence.job->prompt_chain;
    auto const from_prompt = std::min<std::int32_t>(full, static_cast<std::int32_t>(chain_of_prompt.size()));
    std::optional<std::uint64_t> parent;
    for (std::int32_t i = 0; i < from_prompt; ++i) {
        auto const hash = chain_of_prompt[static_cast<std::size_t>(i)];
        name_block(sequence, i, hash, parent, pool);
        parent = hash;
    }
    auto hash = chain_of_prompt.empty() ? sequence.job->chain_root : chain_of_prompt.back();
    for (auto i = from_prompt; i < full; ++i) {
        for (auto at = i * pool.tokens_per_block(); at < (i + 1) * pool.tokens_per_block(); ++at) {
            hash = chain(hash, token_at(sequence, at));
        }
        name_block(sequence, i, hash, parent, pool);
        parent = hash;
    }
}

void evict(Sequence& sequence, Limits const& limits, BlockPool& pool) {
    name_blocks(sequence, pool);
    pool.release(sequence.blocks);
    sequence.started = false;
    sequence.prefilled = 0;
    sequence.context_len = sequence.length();
    if (!sequence.job->request.streaming) {
        // Tokens that do not fit a context are generated again; a stream has delivered them already.
        sequence.context_len =
            std::max(sequence.job->prompt_len, std::min(sequence.context_len, limits.max_input_len));
        sequence.forget_after(sequence.context_len - sequence.job->prompt_len);
    }
}

}  // namespace tensorrt_llm::simulation
