// Consumers' side of the loop: responses that wait to be collected, and the threads that wait for them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tensorrt_llm/executor/response.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::simulation {

using Timeout = std::optional<std::chrono::milliseconds>;

/// Order is kept within a request; between requests it is whatever a hash map gives.
class Mailbox {
  public:
    void announce(std::vector<executor::IdType> const& ids);
    /// Moves all of `responses` in and empties it; wakes waiting threads.
    void deliver(std::vector<executor::Response>& responses);
    void close();

    std::vector<executor::Response> await(Timeout const& timeout);
    /// An id that is finished or unknown gets an error response; throws std::out_of_range when closed
    /// meanwhile.
    std::vector<executor::Response> await(executor::IdType id, Timeout const& timeout);
    executor::SizeType32 ready(std::optional<executor::IdType> const& id) const;

  private:
    template <typename Condition>
    void wait(std::unique_lock<std::mutex>& lock, Timeout const& timeout, Condition condition);
    void forget_finished(std::vector<executor::Response> const& responses);

    mutable std::mutex mMutex;
    std::condition_variable mArrived;
    std::unordered_map<executor::IdType, std::vector<executor::Response>> mReady;
    std::unordered_set<executor::IdType> mLive;
    std::size_t mReadyCount = 0;
    bool mClosed = false;
};

}  // namespace tensorrt_llm::simulation
