// KV cache events: a queue per iteration, and a bounded one for readers.
#include "bareflight/cpp/simulated/kv_events.h"

#include <utility>

namespace tensorrt_llm::simulation {

void KvEventBuffer::add(executor::KVCacheEventData data) {
    mFresh.emplace_back(mNextId++, std::move(data), mWindow);
}

void KvEventBuffer::created(std::int32_t blocks) {
    // No second level: offload to host memory is not simulated.
    add(executor::KVCacheCreatedData{{blocks, 0}});
}

void KvEventBuffer::stored(std::optional<std::uint64_t> parent, executor::KVCacheStoredBlockData block) {
    auto* const last =
        mFresh.empty() ? nullptr : std::get_if<executor::KVCacheStoredData>(&mFresh.back().data);
    if (last != nullptr && parent == last->blocks.back().blockHash) {
        last->blocks.push_back(std::move(block));
    } else {
        add(executor::KVCacheStoredData{parent, {std::move(block)}});
    }
}

void KvEventBuffer::removed(std::uint64_t hash) {
    auto* const last =
        mFresh.empty() ? nullptr : std::get_if<executor::KVCacheRemovedData>(&mFresh.back().data);
    if (last != nullptr) {
        last->blockHashes.push_back(hash);
    } else {
        add(executor::KVCacheRemovedData{{hash}});
    }
}

void KvEventBuffer::flush() {
    if (mFresh.empty()) {
        return;
    }
    {
        std::lock_guard const lock(mMutex);
        for (auto& event : mFresh) {
            if (mReady.size() == mMaxSize) {
                mReady.pop_front();
            }
            mReady.push_back(std::move(event));
        }
    }
    mFresh.clear();
    mArrived.notify_all();
}

std::deque<executor::KVCacheEvent> KvEventBuffer::await(
    std::optional<std::chrono::milliseconds> const& timeout) {
    std::unique_lock lock(mMutex);
    auto const something = [this] { return !mReady.empty() || mClosed; };
    if (timeout) {
        mArrived.wait_for(lock, *timeout, something);
    } else {
        mArrived.wait(lock, something);
    }
    return std::exchange(mReady, {});
}

void KvEventBuffer::close() {
    {
        std::lock_guard const lock(mMutex);
        mClosed = true;
    }
    mArrived.notify_all();
}

}  // namespace tensorrt_llm::simulation

namespace tensorrt_llm::executor {

KVCacheEvent::KVCacheEvent(IdType id, KVCacheEventData content, SizeType32 window,
                           std::optional<SizeType32> rank)
    : eventId(id), data(std::move(content)), windowSize(window), attentionDpRank(rank) {}

KVCacheEventManager::KVCacheEventManager(std::shared_ptr<simulation::KvEventBuffer> buffer)
    : mBuffer(std::move(buffer)) {}

std::deque<KVCacheEvent> KVCacheEventManager::getLatestEvents(
    std::optional<std::chrono::milliseconds> timeout) {
    return mBuffer->await(timeout);
}

}  // namespace tensorrt_llm::executor
