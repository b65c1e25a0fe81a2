// KV cache events, collected during an iteration and published at its end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "tensorrt_llm/executor/kvCacheEvents.h"

namespace tensorrt_llm::simulation {

/// Priority that a block has when no request asks for another (TensorRT-LLM's default).
constexpr executor::SizeType32 kDefaultPriority = 35;

/// Of events that nobody reads, the newest `max_size` stay.
class KvEventBuffer {
  public:
    KvEventBuffer(std::size_t max_size, std::int32_t window) : mMaxSize(max_size), mWindow(window) {}

    /// The following belongs to the execution thread, until `flush` publishes it to readers.
    void created(std::int32_t blocks);
    /// A block after `parent`; successive blocks of one sequence make one event.
    void stored(std::optional<std::uint64_t> parent, executor::KVCacheStoredBlockData block);
    /// Successive removals make one event.
    void removed(std::uint64_t hash);
    void flush();

    /// Drains what was flushed; waits for some, up to the timeout, or until `close`.
    std::deque<executor::KVCacheEvent> await(std::optional<std::chrono::milliseconds> const& timeout);
    void close();

  private:
    void add(executor::KVCacheEventData data);

    std::size_t const mMaxSize;
    std::int32_t const mWindow;
    executor::IdType mNextId = 0;
    std::deque<executor::KVCacheEvent> mFresh;
    std::mutex mMutex;
    std::condition_variable mArrived;
    std::deque<executor::KVCacheEvent> mReady;
    bool mClosed = false;
};

}  // namespace tensorrt_llm::simulation
