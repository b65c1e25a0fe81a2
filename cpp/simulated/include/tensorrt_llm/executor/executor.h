// The executor: requests in, responses out, statistics; one execution thread behind it.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensorrt_llm/executor/config.h"
#include "tensorrt_llm/executor/kvCacheEvents.h"
#include "tensorrt_llm/executor/request.h"
#include "tensorrt_llm/executor/response.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::executor {

char const* version() noexcept;

class JsonSerialization {
  public:
    static std::string toJsonStr(IterationStats const& iterationStats);
    static std::string toJsonStr(RequestStatsPerIteration const& requestStatsPerIter);
    static std::string toJsonStr(RequestStats const& requestStats);
};

/// Every call but `shutdown` may come from any thread; after `shutdown` every call throws "Shutdown called".
class Executor {
  public:
    /// `modelPath` is a profile of the simulated executor, or a directory whose config.json names one.
    Executor(std::filesystem::path const& modelPath, ModelType modelType,
             ExecutorConfig const& executorConfig);
    Executor(Executor const&) = delete;
    Executor& operator=(Executor const&) = delete;
    Executor(Executor&&) noexcept;
    Executor& operator=(Executor&&) noexcept;
    ~Executor();

    IdType enqueueRequest(Request const& request);
    /// All of them or, with an exception, none.
    std::vector<IdType> enqueueRequests(std::vector<Request> const& requests);

    /// Everything that is ready; waits for something to be. Empty after the timeout.
    std::vector<Response> awaitResponses(
        std::optional<std::chrono::milliseconds> const& timeout = std::nullopt);
    std::vector<Response> awaitResponses(
        IdType const& requestId, std::optional<std::chrono::milliseconds> const& timeout = std::nullopt);
    /// Waits for its ids one after the other, each up to the timeout.
    std::vector<std::vector<Response>> awaitResponses(
        std::vector<IdType> const& requestIds,
        std::optional<std::chrono::milliseconds> const& timeout = std::nullopt);
    SizeType32 getNumResponsesReady(std::optional<IdType> const& requestId = std::nullopt) const;

    /// Takes effect at the next iteration; unknown and finished ids are ignored.
    void cancelRequest(IdType requestId);
    /// Active requests run to completion, queued ones are never answered.
    void shutdown();

    /// Drains the ring.
    std::deque<IterationStats> getLatestIterationStats();
    /// Drains the ring.
    std::deque<RequestStatsPerIteration> getLatestRequestStats();

    bool canEnqueueRequests() const;
    bool isParticipant() const;

    /// Empty unless block reuse is on and the event buffer has room.
    std::optional<std::shared_ptr<KVCacheEventManager>> getKVCacheEventManager() const;

  private:
    class Impl;
    std::unique_ptr<Impl> mImpl;
};

}  // namespace tensorrt_llm::executor
