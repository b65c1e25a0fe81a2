// Events of the KV cache's blocks, drained by a caller.
//
// Blocks are named by hashes of their content and of all that comes before it.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "tensorrt_llm/executor/types.h"
#include "tensorrt_llm/runtime/common.h"

namespace tensorrt_llm::simulation {
class KvEventBuffer;
}  // namespace tensorrt_llm::simulation

namespace tensorrt_llm::executor {

/// The cache exists: so many blocks at each level, the GPU's first.
struct KVCacheCreatedData {
    std::vector<SizeType32> numBlocksPerCacheLevel;
};

struct KVCacheStoredBlockData {
    KVCacheStoredBlockData(IdType blockHash, runtime::VecUniqueTokens tokens,
                           std::optional<runtime::LoraTaskIdType> loraId, SizeType32 cacheLevel,
                           SizeType32 priority)
        : blockHash(blockHash),
          tokens(std::move(tokens)),
          loraId(loraId),
          cacheLevel(cacheLevel),
          priority(priority) {}

    IdType blockHash;
    runtime::VecUniqueTokens tokens;
    std::optional<runtime::LoraTaskIdType> loraId;
    SizeType32 cacheLevel;
    SizeType32 priority;
};

/// Each block is the parent of the next; the first one's parent is stored already, or there is none.
struct KVCacheStoredData {
    std::optional<IdType> parentHash;
    std::vector<KVCacheStoredBlockData> blocks;
};

struct KVCacheRemovedData {
    std::vector<IdType> blockHashes;
};

template <typename T>
struct KVCacheEventDiff {
    T oldValue;
    T newValue;
};

struct KVCacheUpdatedData {
    explicit KVCacheUpdatedData(IdType blockHash) : blockHash(blockHash) {}

    IdType blockHash;
    std::optional<KVCacheEventDiff<SizeType32>> cacheLevel = std::nullopt;
    std::optional<KVCacheEventDiff<SizeType32>> priority = std::nullopt;
};

using KVCacheEventData =
    std::variant<KVCacheCreatedData, KVCacheStoredData, KVCacheRemovedData, KVCacheUpdatedData>;

struct KVCacheEvent {
    KVCacheEvent(IdType eventId, KVCacheEventData data, SizeType32 windowSize,
                 std::optional<SizeType32> attentionDpRank = std::nullopt);

    /// Events are counted without gaps, so a gap is what was overwritten before it was read.
    IdType eventId;
    KVCacheEventData data;
    /// Of the layers that the block belongs to.
    SizeType32 windowSize;
    std::optional<SizeType32> attentionDpRank;
};

class KVCacheEventManager {
  public:
    explicit KVCacheEventManager(std::shared_ptr<simulation::KvEventBuffer> buffer);

    /// Drains the buffer; without a timeout it waits for an event or for the executor's end.
    std::deque<KVCacheEvent> getLatestEvents(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  private:
    std::shared_ptr<simulation::KvEventBuffer> mBuffer;
};

}  // namespace tensorrt_llm::executor
