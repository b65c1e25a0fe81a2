// Pool of KV cache blocks: reference counts, a stack of free blocks, a list of reusable ones.
#include "bareflight/cpp/simulated/block_pool.h"

#include <algorithm>
#include <stdexcept>

namespace tensorrt_llm::simulation {

BlockPool::BlockPool(std::int32_t blocks, std::int32_t tokens_per_block, bool reuse, KvEventBuffer* events)
    : mBlocks(static_cast<std::size_t>(blocks)),
      mTokensPerBlock(tokens_per_block),
      mReuse(reuse),
      mEvents(events) {
    mBlank.reserve(mBlocks.size());
    for (auto block = blocks; block-- > 0;) {
        mBlank.push_back(block);
    }
}

std::int32_t BlockPool::matched(std::vector<std::uint64_t> const& chain, std::int32_t limit) const {
    auto const most = std::min(limit, static_cast<std::int32_t>(chain.size()));
    std::int32_t count = 0;
    while (mReuse && count < most && mNamed.count(chain[static_cast<std::size_t>(count)]) != 0) {
        ++count;
    }
    return count;
}

std::int32_t BlockPool::held_already(std::vector<std::uint64_t> const& chain, std::int32_t count) const {
    return static_cast<std::int32_t>(std::count_if(chain.begin(), chain.begin() + count, [&](auto hash) {
        return mBlocks[static_cast<std::size_t>(mNamed.at(hash))].holders > 0;
    }));
}

void BlockPool::share(std::vector<std::uint64_t> const& chain, std::int32_t count,
                      std::vector<std::int32_t>& held) {
    for (std::int32_t i = 0; i < count; ++i) {
        auto const index = mNamed.at(chain[static_cast<std::size_t>(i)]);
        auto& block = mBlocks[static_cast<std::size_t>(index)];
        if (block.holders++ == 0) {
            unkeep(index);
            ++mHeld;
        }
        held.push_back(index);
    }
    mReused += count;
}

void BlockPool::take(std::int32_t count, std::vector<std::int32_t>& held) {
    for (std::int32_t i = 0; i < count; ++i) {
        held.push_back(take_one());
    }
    mTaken += count;
}

std::int32_t BlockPool::take_one() {
    std::int32_t index = kNone;
    if (!mBlank.empty()) {
        index = mBlank.back();
        mBlank.pop_back();
    } else if (mOldest != kNone) {
        index = mOldest;
        unkeep(index);
        auto const hash = mBlocks[static_cast<std::size_t>(index)].hash;
        mNamed.erase(hash);
        if (mEvents != nullptr) {
            mEvents->removed(hash);
        }
    } else {
        throw std::logic_error("the KV cache has no block left although the scheduler counted one");
    }
    auto& block = mBlocks[static_cast<std::size_t>(index)];
    block.named = false;
    block.holders = 1;
    ++mHeld;
    return index;
}

bool BlockPool::name(std::int32_t index, std::uint64_t hash) {
    auto& block = mBlocks[static_cast<std::size_t>(index)];
    if (!mReuse || block.named || !mNamed.emplace(hash, index).second) {
        return false;
    }
    block.named = true;
    block.hash = hash;
    return true;
}

void BlockPool::release(std::vector<std::int32_t>& held) {
    // From the end, so that of one sequence the longest prefix is kept longest.
    for (auto index = held.rbegin(); index != held.rend(); ++index) {
        auto& block = mBlocks[static_cast<std::size_t>(*index)];
        if (--block.holders > 0) {
            continue;
        }
        --mHeld;
        if (block.named) {
            keep(*index);
        } else {
            mBlank.push_back(*index);
        }
    }
    held.clear();
}

void BlockPool::keep(std::int32_t index) {
    auto& block = mBlocks[static_cast<std::size_t>(index)];
    block.older = mNewest;
    block.newer = kNone;
    (mNewest != kNone ? mBlocks[static_cast<std::size_t>(mNewest)].newer : mOldest) = index;
    mNewest = index;
}

void BlockPool::unkeep(std::int32_t index) {
    auto const& block = mBlocks[static_cast<std::size_t>(index)];
    (block.older != kNone ? mBlocks[static_cast<std::size_t>(block.older)].newer : mOldest) = block.newer;
    (block.newer != kNone ? mBlocks[static_cast<std::size_t>(block.newer)].older : mNewest) = block.older;
}

executor::KvCacheStats BlockPool::stats() const {
    executor::KvCacheStats stats;
    stats.maxNumBlocks = total();
    stats.freeNumBlocks = available();
    stats.usedNumBlocks = mHeld;
    stats.tokensPerBlock = mTokensPerBlock;
    stats.allocTotalBlocks = static_cast<std::int32_t>(mTaken + mReused);
    stats.allocNewBlocks = static_cast<std::int32_t>(mTaken);
    stats.reusedBlocks = static_cast<std::int32_t>(mReused);
    stats.missedBlocks = static_cast<std::int32_t>(mMissed);
    auto const asked = mReused + mMissed;
    stats.cacheHitRate = asked == 0 ? 0.0F : static_cast<float>(mReused) / static_cast<float>(asked);
    return stats;
}

}  // namespace tensorrt_llm::simulation
