// Pool of KV cache blocks: paged memory with reuse of full blocks.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "bareflight/cpp/simulated/kv_events.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::simulation {

/// A block's content is named by the hash chain of all tokens up to its end, so a match means an equal
/// prefix. Released blocks that hold named content stay until the space is needed; the least recently
/// released goes first.
class BlockPool {
  public:
    /// `events` records stored and removed blocks; null records none.
    BlockPool(std::int32_t blocks, std::int32_t tokens_per_block, bool reuse, KvEventBuffer* events);

    std::int32_t total() const { return static_cast<std::int32_t>(mBlocks.size()); }
    std::int32_t tokens_per_block() const { return mTokensPerBlock; }
    bool reuses() const { return mReuse; }
    KvEventBuffer* events() const { return mEvents; }
    /// Blocks that can be taken, kept content included.
    std::int32_t available() const { return total() - mHeld; }

    /// How many leading blocks of `chain` are present, at most `limit`.
    std::int32_t matched(std::vector<std::uint64_t> const& chain, std::int32_t limit) const;
    /// How many of the first `count` blocks of `chain`, all present, some sequence holds already.
    std::int32_t held_already(std::vector<std::uint64_t> const& chain, std::int32_t count) const;

    /// Appends the first `count` blocks of `chain`, all present, to `held`.
    void share(std::vector<std::uint64_t> const& chain, std::int32_t count, std::vector<std::int32_t>& held);
    /// Appends `count` fresh blocks to `held`; that many must be available.
    void take(std::int32_t count, std::vector<std::int32_t>& held);
    /// Names the content of a full block; false when it is named already, or another block has the same
    /// content.
    bool name(std::int32_t block, std::uint64_t hash);
    /// Gives all of `held` back and clears it.
    void release(std::vector<std::int32_t>& held);

    void count_missed(std::int32_t blocks) { mMissed += blocks; }
    executor::KvCacheStats stats() const;

  private:
    static constexpr std::int32_t kNone = -1;
    struct Block {
        std::uint64_t hash = 0;
        std::int32_t holders = 0;
        std::int32_t older = kNone;
        std::int32_t newer = kNone;
        bool named = false;
    };

    std::int32_t take_one();
    void keep(std::int32_t block);
    void unkeep(std::int32_t block);

    std::vector<Block> mBlocks;
    std::vector<std::int32_t> mBlank;
    std::unordered_map<std::uint64_t, std::int32_t> mNamed;
    std::int32_t mOldest = kNone;
    std::int32_t mNewest = kNone;
    std::int32_t mTokensPerBlock;
    std::int32_t mHeld = 0;
    bool mReuse;
    KvEventBuffer* mEvents;
    std::int64_t mTaken = 0;
    std::int64_t mReused = 0;
    std::int64_t mMissed = 0;
};

}  // namespace tensorrt_llm::simulation
