// Queue of requests that wait to be fetched, by priority, under one lock.
#include "bareflight/cpp/simulated/intake.h"

#include <stdexcept>
#include <string>

namespace tensorrt_llm::simulation {

executor::IdType Intake::next_id(std::int32_t sequences) {
    auto const id = mNextId;
    // Every further sequence has an id of its own reserved, so ids are unique but not dense.
    mNextId += static_cast<executor::IdType>(sequences);
    return id;
}

std::vector<executor::IdType> Intake::push(
    std::vector<executor::Request const*> const& requests,
    std::function<void(std::vector<executor::IdType> const&)> const& announce) {
    std::vector<Queued> fresh;
    fresh.reserve(requests.size());
    for (auto const* request : requests) {
        fresh.push_back({0, request->fields(), {}});
    }
    std::vector<executor::IdType> ids;
    ids.reserve(requests.size());
    {
        std::lock_guard const lock(mMutex);
        if (mMaxQueueSize && mQueue.size() + fresh.size() > static_cast<std::size_t>(*mMaxQueueSize)) {
            throw std::runtime_error("Maximum queue size of " + std::to_string(*mMaxQueueSize) +
                                     " has been reached, please try again later");
        }
        auto const now = Clock::now();
        for (auto& queued : fresh) {
            queued.id = next_id(queued.request.numReturnSequences);
            queued.queued_at = now;
            ids.push_back(queued.id);
        }
        announce(ids);
        for (auto& queued : fresh) {
            mWaiting.insert(queued.id);
            auto const priority = queued.request.priority;
            mQueue.emplace(priority, std::move(queued));
        }
    }
    mChanged.notify_one();
    return ids;
}

executor::IdType Intake::reserve_id() {
    std::lock_guard const lock(mMutex);
    return next_id(1);
}

void Intake::cancel(executor::IdType id) {
    std::lock_guard const lock(mMutex);
    if (id < mNextId) {
        mCancelled.insert(id);
    }
}

void Intake::close() {
    {
        std::lock_guard const lock(mMutex);
        mClosed = true;
    }
    mChanged.notify_all();
}

bool Intake::wait() {
    std::unique_lock lock(mMutex);
    mChanged.wait(lock, [this] { return mClosed || !mQueue.empty(); });
    return !mQueue.empty();
}

std::size_t Intake::queued() const {
    std::lock_guard const lock(mMutex);
    return mQueue.size();
}

std::vector<executor::IdType> Intake::waiting() const {
    std::lock_guard const lock(mMutex);
    std::vector<executor::IdType> ids;
    ids.reserve(mQueue.size());
    for (auto const& [priority, queued] : mQueue) {
        ids.push_back(queued.id);
    }
    return ids;
}

void Intake::take_cancelled(std::vector<executor::IdType>& cancelled) {
    cancelled.clear();
    std::lock_guard const lock(mMutex);
    for (auto id = mCancelled.begin(); id != mCancelled.end();) {
        if (mWaiting.count(*id) != 0) {
            ++id;
            continue;
        }
        cancelled.push_back(*id);
        id = mCancelled.erase(id);
    }
}

}  // namespace tensorrt_llm::simulation
