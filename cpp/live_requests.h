// Table of active requests: the executor's id of each of our ids.
//
// Cancelling needs the executor's id. It is known only after the enqueue returned, and the request's final
// response may have come before that.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "bareflight/cpp/engine.h"

namespace bareflight {

class LiveRequests {
  public:
    /// Before the enqueue, so that an early final response finds something to remove.
    void add(std::vector<RequestHead> const& heads) {
        std::lock_guard const lock(mMutex);
        for (auto const& head : heads) {
            Entry entry;
            entry.cumulative = head.beam_width > 1;
            mCumulative += entry.cumulative ? 1 : 0;
            mLive.emplace(head.id, entry);
        }
    }

    void remove(std::uint64_t id) {
        std::lock_guard const lock(mMutex);
        erase(id);
    }

    /// After the enqueue. True when the request was cancelled meanwhile, and must be cancelled now.
    bool learn(std::uint64_t id, std::uint64_t executor_id) {
        std::lock_guard const lock(mMutex);
        auto const found = mLive.find(id);
        if (found == mLive.end()) {
            return false;
        }
        found->second.executor_id = executor_id;
        return found->second.cancel_wanted;
    }

    /// The id to cancel now; nothing for an unknown or finished request, or while `learn` will ask for it.
    std::optional<std::uint64_t> cancel(std::uint64_t id) {
        std::lock_guard const lock(mMutex);
        auto const found = mLive.find(id);
        if (found == mLive.end()) {
            return std::nullopt;
        }
        found->second.cancel_wanted = true;
        return found->second.executor_id;
    }

    void remove_finished(std::vector<Delivery> const& deliveries) {
        std::lock_guard const lock(mMutex);
        for (auto const& delivery : deliveries) {
            if (delivery.is_final) {
                erase(delivery.id);
            }
        }
    }

    /// How many of the `now` tokens that a result of `id` holds were delivered before. Beams may be
    /// reordered, so that the executor repeats the whole output with each result; everything else brings new
    /// tokens alone.
    std::size_t delivered_before(std::uint64_t id, std::size_t now) {
        if (mCumulative.load() == 0) {
            return 0;
        }
        std::lock_guard const lock(mMutex);
        auto const found = mLive.find(id);
        if (found == mLive.end() || !found->second.cumulative) {
            return 0;
        }
        auto const before = found->second.delivered;
        found->second.delivered = std::max(before, now);
        return before;
    }

    /// Linear: for the rare response that carries no client id.
    std::optional<std::uint64_t> find_by_executor_id(std::uint64_t executor_id) const {
        std::lock_guard const lock(mMutex);
        for (auto const& entry : mLive) {
            if (entry.second.executor_id == executor_id) {
                return entry.first;
            }
        }
        return std::nullopt;
    }

  private:
    struct Entry {
        std::optional<std::uint64_t> executor_id;
        bool cancel_wanted = false;
        bool cumulative = false;
        std::size_t delivered = 0;
    };

    void erase(std::uint64_t id) {
        auto const found = mLive.find(id);
        if (found != mLive.end()) {
            mCumulative -= found->second.cumulative ? 1 : 0;
            mLive.erase(found);
        }
    }

    mutable std::mutex mMutex;
    /// Open requests with beams: without any, nothing is looked up.
    std::atomic<std::int64_t> mCumulative{0};
    std::unordered_map<std::uint64_t, Entry> mLive;
};

}  // namespace bareflight
