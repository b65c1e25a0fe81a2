// Gate between calls and shutdown: many calls may be inside at once; shutdown closes it and waits for them.
#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace bareflight {

class ShutdownGate {
  public:
    /// Held for the length of a call; false when the gate has closed.
    class Pass {
      public:
        explicit Pass(ShutdownGate& gate) {
            // Asked first, since a shared mutex lets a stream of readers starve the one writer.
            if (!gate.mClosing.load()) {
                mLock = std::shared_lock(gate.mMutex);
                mInside = !gate.mClosing.load();
            }
        }
        explicit operator bool() const { return mInside; }

      private:
        std::shared_lock<std::shared_mutex> mLock;
        bool mInside = false;
    };

    /// Runs `last` once, alone; returns after it has run, whoever ran it.
    template <typename Last>
    void close(Last last) {
        mClosing.store(true);
        std::unique_lock const alone(mMutex);
        if (!mClosed) {
            mClosed = true;
            last();
        }
    }

  private:
    std::shared_mutex mMutex;
    std::atomic<bool> mClosing{false};
    bool mClosed = false;
};

}  // namespace bareflight
