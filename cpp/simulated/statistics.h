// Rings of iteration statistics that a caller drains.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::simulation {

/// The newest `capacity` entries; 0 keeps nothing.
template <typename Entry>
class StatisticsRing {
  public:
    explicit StatisticsRing(executor::SizeType32 capacity) : mCapacity(static_cast<std::size_t>(capacity)) {}

    bool enabled() const { return mCapacity > 0; }

    void push(Entry entry) {
        std::lock_guard const lock(mMutex);
        if (mEntries.size() == mCapacity) {
            mEntries.pop_front();
        }
        mEntries.push_back(std::move(entry));
    }

    std::deque<Entry> drain() {
        std::deque<Entry> drained;
        std::lock_guard const lock(mMutex);
        drained.swap(mEntries);
        return drained;
    }

  private:
    std::size_t mCapacity;
    std::mutex mMutex;
    std::deque<Entry> mEntries;
};

/// Local time as TensorRT-LLM prints it: month-day-year and microseconds.
std::string timestamp_now();

}  // namespace tensorrt_llm::simulation
