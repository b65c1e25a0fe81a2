// Which executor id belongs to which of ours, while a request lives?
//
// Cancelling needs the executor's id. It is known only after the enqueue returned, and the request's final
// response may have come before that.
#pragma once

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
            mLive.emplace(head.id, Entry{});
        }
    }

    void remove(std::uint64_t id) {
        std::lock_guard const lock(mMutex);
        mLive.erase(id);
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
                mLive.erase(delivery.id);
            }
        }
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
    };

    mutable std::mutex mMutex;
    std::unordered_map<std::uint64_t, Entry> mLive;
};

}  // namespace bareflight
