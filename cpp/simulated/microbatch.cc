// Micro-batch of the next iteration: the token budget shared among the sequences that may run.
#include "bareflight/cpp/simulated/microbatch.h"

#include <algorithm>

namespace tensorrt_llm::simulation {

namespace {

std::int32_t left_to_prefill(Sequence const& sequence) { return sequence.context_len - sequence.prefilled; }

/// A chunk that does not end the context ends at a block's end, so that the block can be used as a whole.
std::int32_t chunk_unit(Limits const& limits) {
    return std::min(limits.tokens_per_block, limits.max_num_tokens);
}

void fill_whole(std::vector<ContextChunk>& waiting, std::int32_t budget) {
    auto const end = std::find_if(waiting.begin(), waiting.end(), [&](ContextChunk& chunk) {
        chunk.tokens = left_to_prefill(*chunk.sequence);
        budget -= chunk.tokens;
        return budget < 0;
    });
    waiting.erase(end, waiting.end());
}

void fill_first_come(std::vector<ContextChunk>& waiting, Limits const& limits, std::int32_t budget) {
    for (auto& chunk : waiting) {
        auto const left = left_to_prefill(*chunk.sequence);
        chunk.tokens = left <= budget ? left : budget - budget % chunk_unit(limits);
        budget -= chunk.tokens;
    }
}

void fill_equally(std::vector<ContextChunk>& waiting, Limits const& limits, std::int32_t budget) {
    for (bool progress = true; progress;) {
        progress = false;
        for (auto& chunk : waiting) {
            auto const step = std::min(chunk_unit(limits), left_to_prefill(*chunk.sequence) - chunk.tokens);
            if (step > 0 && step <= budget) {
                chunk.tokens += step;
                budget -= step;
                progress = true;
            }
        }
    }
}

/// Drafts from outside are verified together with the end of the context.
std::int64_t drafts_of(ContextChunk const& chunk) {
    bool const ends = chunk.tokens == left_to_prefill(*chunk.sequence);
    return ends ? static_cast<std::int64_t>(chunk.sequence->job->drafts.size()) : 0;
}

}  // namespace

IterationLoad Microbatch::load() const {
    IterationLoad load;
    for (auto const& chunk : context) {
        load.context_tokens += chunk.tokens + drafts_of(chunk);
        load.kv_tokens += chunk.sequence->prefilled;
    }
    for (auto const* sequence : generation) {
        load.decode_sequences += sequence->job->beam_width;
        load.kv_tokens += sequence->job->prompt_len +
                          static_cast<std::int64_t>(sequence->generated) * sequence->job->beam_width;
    }
    return load;
}

void fill(std::vector<Sequence*> const& runnable, Limits const& limits, Microbatch& batch) {
    batch.context.clear();
    batch.generation.clear();
    auto slots = limits.max_batch_size;
    auto budget = limits.max_num_tokens;
    for (auto* sequence : runnable) {
        auto const tokens = sequence->job->beam_width * (1 + limits.draft_len);
        // The first always fits, or a budget below one step would stop the engine for good.
        if (!sequence->in_context() && slots > 0 && (tokens <= budget || batch.generation.empty())) {
            batch.generation.push_back(sequence);
            budget -= tokens;
            --slots;
        }
    }
    for (auto* sequence : runnable) {
        if (sequence->in_context() && slots > 0 && budget > 0) {
            batch.context.push_back({sequence, 0});
            --slots;
        }
    }
    if (!limits.chunked_context) {
        fill_whole(batch.context, budget);
    } else if (limits.equal_progress) {
        fill_equally(batch.context, limits, budget);
    } else {
        fill_first_come(batch.context, limits, budget);
    }
    auto const nothing = [](ContextChunk const& chunk) { return chunk.tokens == 0; };
    batch.context.erase(std::remove_if(batch.context.begin(), batch.context.end(), nothing),
                        batch.context.end());
}

}  // namespace tensorrt_llm::simulation
