// Responses that wait to be collected, grouped by request under one lock.
#include "bareflight/cpp/simulated/mailbox.h"

#include <iterator>
#include <stdexcept>
#include <string>

namespace tensorrt_llm::simulation {

void Mailbox::announce(std::vector<executor::IdType> const& ids) {
    std::lock_guard const lock(mMutex);
    mLive.insert(ids.begin(), ids.end());
}

void Mailbox::deliver(std::vector<executor::Response>& responses) {
    if (responses.empty()) {
        return;
    }
    {
        std::lock_guard const lock(mMutex);
        mReadyCount += responses.size();
        for (auto& response : responses) {
            mReady[response.getRequestId()].push_back(std::move(response));
        }
    }
    mArrived.notify_all();
    responses.clear();
}

void Mailbox::close() {
    {
        std::lock_guard const lock(mMutex);
        mClosed = true;
    }
    mArrived.notify_all();
}

template <typename Condition>
void Mailbox::wait(std::unique_lock<std::mutex>& lock, Timeout const& timeout, Condition condition) {
    auto const done = [&] { return mClosed || condition(); };
    if (timeout) {
        mArrived.wait_for(lock, *timeout, done);
    } else {
        mArrived.wait(lock, done);
    }
}

void Mailbox::forget_finished(std::vector<executor::Response> const& responses) {
    for (auto const& response : responses) {
        if (response.hasError() || response.getResult().isFinal) {
            mLive.erase(response.getRequestId());
        }
    }
}

std::vector<executor::Response> Mailbox::await(Timeout const& timeout) {
    decltype(mReady) ready;
    std::vector<executor::Response> responses;
    {
        std::unique_lock lock(mMutex);
        wait(lock, timeout, [this] { return mReadyCount > 0; });
        ready.swap(mReady);
        responses.reserve(mReadyCount);
        mReadyCount = 0;
        for (auto& entry : ready) {
            forget_finished(entry.second);
        }
    }
    for (auto& entry : ready) {
        std::move(entry.second.begin(), entry.second.end(), std::back_inserter(responses));
    }
    return responses;
}

std::vector<executor::Response> Mailbox::await(executor::IdType id, Timeout const& timeout) {
    std::unique_lock lock(mMutex);
    if (mLive.count(id) == 0) {
        std::vector<executor::Response> unknown;
        unknown.emplace_back(
            id, "Request ID " + std::to_string(id) + " is finished already, or was never enqueued");
        return unknown;
    }
    wait(lock, timeout, [&] { return mReady.count(id) != 0; });
    if (mClosed) {
        throw std::out_of_range("the executor shut down while request " + std::to_string(id) +
                                " was waited for");
    }
    std::vector<executor::Response> responses;
    auto const found = mReady.find(id);
    if (found != mReady.end()) {
        responses = std::move(found->second);
        mReady.erase(found);
        mReadyCount -= responses.size();
        forget_finished(responses);
    }
    return responses;
}

executor::SizeType32 Mailbox::ready(std::optional<executor::IdType> const& id) const {
    std::lock_guard const lock(mMutex);
    if (!id) {
        return static_cast<executor::SizeType32>(mReadyCount);
    }
    auto const found = mReady.find(*id);
    return found == mReady.end() ? 0 : static_cast<executor::SizeType32>(found->second.size());
}

}  // namespace tensorrt_llm::simulation
