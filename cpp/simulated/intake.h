// Producers' side of the loop: queued requests, cancellations, and whether the executor is closing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include "bareflight/cpp/simulated/sequence.h"
#include "tensorrt_llm/executor/request.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::simulation {

struct Queued {
    executor::IdType id;
    executor::Request::Fields request;
    Clock::time_point queued_at;
};

class Intake {
  public:
    explicit Intake(std::optional<std::int32_t> max_queue_size) : mMaxQueueSize(max_queue_size) {}

    /// Queues all requests or none and returns their ids; `announce` learns them before the loop can fetch
    /// any. Throws std::runtime_error when the queue has no room.
    std::vector<executor::IdType> push(
        std::vector<executor::Request const*> const& requests,
        std::function<void(std::vector<executor::IdType> const&)> const& announce);
    /// An id for a request that is refused by a response instead of an exception.
    executor::IdType reserve_id();

    void cancel(executor::IdType id);
    /// Puts the end marker behind all that waits, which is still fetched.
    void close();

    /// Parks until there is something to fetch; false when the end marker is next.
    bool wait();
    std::size_t queued() const;
    /// Ids of the requests that wait, in the order in which they will be fetched.
    std::vector<executor::IdType> waiting() const;

    /// The next requests, as long as `fits` agrees: higher priority first, then the order of arrival. Sets
    /// `at_end` when the end marker comes right behind them.
    template <typename Fits>
    std::vector<Queued> take(Fits fits, bool& at_end) {
        std::vector<Queued> taken;
        std::lock_guard const lock(mMutex);
        while (!mQueue.empty() && fits(mQueue.begin()->second)) {
            auto node = mQueue.extract(mQueue.begin());
            mWaiting.erase(node.mapped().id);
            taken.push_back(std::move(node.mapped()));
        }
        at_end = mClosed && mQueue.empty();
        return taken;
    }
    /// The ids to cancel that do not wait in the queue; waiting ones are kept until they are fetched.
    void take_cancelled(std::vector<executor::IdType>& cancelled);

  private:
    executor::IdType next_id(std::int32_t sequences);

    std::optional<std::int32_t> mMaxQueueSize;
    mutable std::mutex mMutex;
    std::condition_variable mChanged;
    std::multimap<executor::PriorityType, Queued, std::greater<>> mQueue;
    std::unordered_set<executor::IdType> mWaiting;
    std::unordered_set<executor::IdType> mCancelled;
    // 0 and 1 are markers of TensorRT-LLM's own queue.
    executor::IdType mNextId = 2;
    bool mClosed = false;
};

}  // namespace tensorrt_llm::simulation
