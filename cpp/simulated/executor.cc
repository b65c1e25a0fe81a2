// Public calls of the executor, over the intake, the mailbox and the statistics rings.
#include "tensorrt_llm/executor/executor.h"

#include <atomic>
#include <stdexcept>
#include <thread>

#include "bareflight/cpp/simulated/faults.h"
#include "bareflight/cpp/simulated/logger.h"
#include "bareflight/cpp/simulated/loop.h"
#include "bareflight/cpp/simulated/ranks.h"

namespace tensorrt_llm::executor {

namespace {

simulation::Limits checked_limits(simulation::Profile const& profile, ModelType model_type,
                                  ExecutorConfig const& config) {
    if (model_type != ModelType::kDECODER_ONLY) {
        throw std::runtime_error("the simulated executor has decoder-only models");
    }
    try {
        return simulation::resolve_limits(profile, config);
    } catch (std::exception const& error) {
        simulation::log(simulation::LogLevel::Error, error.what());
        throw;
    }
}

/// A few lines, as the original says what it has found and taken.
void log_start(simulation::Profile const& profile, simulation::Limits const& limits, bool reuse_is_asked) {
    using simulation::LogLevel;
    simulation::log(LogLevel::Info, "simulated executor " + std::string(version()) + ", " +
                                        std::to_string(profile.world_size) + " rank(s)");
    simulation::log(LogLevel::Info, "at most " + std::to_string(limits.max_batch_size) + " requests and " +
                                        std::to_string(limits.max_num_tokens) + " tokens in an iteration, " +
                                        std::to_string(limits.kv_blocks) + " blocks of KV cache");
    if (limits.max_seq_len < profile.limits.max_seq_len) {
        simulation::log(LogLevel::Warning, "sequences end at " + std::to_string(limits.max_seq_len) +
                                               " tokens: the KV cache holds no longer one");
    }
    if (reuse_is_asked && !limits.block_reuse) {
        simulation::log(LogLevel::Warning, "block reuse is switched off: this engine cannot have it");
    }
}

/// The program whose processes hold the engine; empty in leader mode.
std::string worker_of(ExecutorConfig const& config) {
    auto const parallel = config.getParallelConfig();
    auto const orchestrator = parallel ? parallel->getOrchestratorConfig() : std::nullopt;
    return orchestrator ? orchestrator->getWorkerExecutablePath() : std::string();
}

/// There whenever there is a KV cache; without reuse or room it stays empty.
std::shared_ptr<simulation::KvEventBuffer> event_buffer(simulation::Limits const& limits) {
    auto buffer = std::make_shared<simulation::KvEventBuffer>(limits.kv_event_buffer, limits.max_seq_len);
    if (limits.kv_event_buffer > 0) {
        buffer->created(limits.kv_blocks);
        buffer->flush();
    }
    return buffer;
}

}  // namespace

char const* version() noexcept { return "1.2.1+simulated"; }

class Executor::Impl {
  public:
    Impl(std::string const& model_path, ModelType model_type, ExecutorConfig const& config)
        : mProfile(simulation::load_profile(model_path)),
          mLimits(checked_limits(mProfile, model_type, config)),
          mRanks(simulation::join_ranks(mProfile.world_size, worker_of(config))),
          // In orchestrator mode the queue's limit is found out on the other side, thus asynchronously.
          mIntake(mLimits.orchestrator ? std::nullopt : mLimits.max_queue_size),
          mRings{simulation::StatisticsRing<IterationStats>(config.getIterStatsMaxIterations()),
                 simulation::StatisticsRing<RequestStatsPerIteration>(config.getRequestStatsMaxIterations())},
          mEvents(event_buffer(mLimits)),
          mFaults(mProfile.behaviour.throws_at),
          mLoop(mProfile, mLimits, *mRanks, mIntake, mMailbox, mRings,
                mLimits.kv_event_buffer > 0 ? mEvents.get() : nullptr) {
        mFaults.pass(simulation::Call::kOpen);
        log_start(mProfile, mLimits, config.getKvCacheConfig().getEnableBlockReuse());
        std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(mProfile.behaviour.load_ms));
        mThread = std::thread([this] { mRanks->leads() ? mLoop.run() : mRanks->follow(); });
    }

    ~Impl() { end(); }

    std::vector<IdType> enqueue(std::vector<Request const*> const& requests) {
        require_open();
        mFaults.pass(simulation::Call::kEnqueue);
        if (!leads()) {
            throw std::runtime_error("only the leader of the ranks takes requests");
        }
        if (mLimits.orchestrator && mLimits.max_queue_size) {
            return enqueue_by_orchestrator(requests);
        }
        return mIntake.push(requests, [this](auto const& ids) { mMailbox.announce(ids); });
    }

    simulation::Mailbox& mailbox() {
        require_open();
        return mMailbox;
    }
    simulation::Intake& intake() {
        require_open();
        return mIntake;
    }
    simulation::StatisticsRings& rings() {
        require_open();
        return mRings;
    }

    simulation::Faults& faults() { return mFaults; }

    void shutdown() {
        if (end()) {
            mFaults.pass(simulation::Call::kShutdown);
        }
    }

    /// Empty in orchestrator mode: the cache is in other processes.
    std::optional<std::shared_ptr<KVCacheEventManager>> event_manager() {
        mFaults.pass(simulation::Call::kKvEvents);
        if (mLimits.orchestrator) {
            return std::nullopt;
        }
        return std::make_shared<KVCacheEventManager>(mEvents);
    }

    bool leads() const { return mRanks->leads(); }

  private:
    /// Whether this call was the one that ended it.
    bool end() {
        if (mShutdown.exchange(true)) {
            return false;
        }
        simulation::log(simulation::LogLevel::Info, "simulated executor shuts down");
        mIntake.close();
        mThread.join();
        mRanks->dismiss();
        mMailbox.close();
        mEvents->close();
        return true;
    }

    void require_open() const {
        if (mShutdown.load()) {
            throw std::runtime_error("Shutdown called");
        }
    }

    /// A full queue is answered by a response, and that response has no client id.
    std::vector<IdType> enqueue_by_orchestrator(std::vector<Request const*> const& requests) {
        std::vector<IdType> ids;
        for (auto const* request : requests) {
            if (mIntake.queued() < static_cast<std::size_t>(*mLimits.max_queue_size)) {
                ids.push_back(
                    mIntake.push({request}, [this](auto const& fresh) { mMailbox.announce(fresh); }).front());
                continue;
            }
            ids.push_back(mIntake.reserve_id());
            mMailbox.announce({ids.back()});
            std::vector<Response> refusal;
            refusal.emplace_back(ids.back(), "Maximum queue size of " +
                                                 std::to_string(*mLimits.max_queue_size) +
                                                 " has been reached, please try again later");
            mMailbox.deliver(refusal);
        }
        return ids;
    }

    simulation::Profile mProfile;
    simulation::Limits mLimits;
    std::unique_ptr<simulation::Ranks> mRanks;
    simulation::Intake mIntake;
    simulation::Mailbox mMailbox;
    simulation::StatisticsRings mRings;
    std::shared_ptr<simulation::KvEventBuffer> mEvents;
    simulation::Faults mFaults;
    simulation::ExecutionLoop mLoop;
    std::atomic<bool> mShutdown{false};
    std::thread mThread;
};

Executor::Executor(std::filesystem::path const& modelPath, ModelType modelType,
                   ExecutorConfig const& executorConfig)
    : mImpl(std::make_unique<Impl>(modelPath.string(), modelType, executorConfig)) {}
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;
Executor::~Executor() = default;

IdType Executor::enqueueRequest(Request const& request) { return mImpl->enqueue({&request}).front(); }

std::vector<IdType> Executor::enqueueRequests(std::vector<Request> const& requests) {
    std::vector<Request const*> pointers;
    pointers.reserve(requests.size());
    for (auto const& request : requests) {
        pointers.push_back(&request);
    }
    return mImpl->enqueue(pointers);
}

std::vector<Response> Executor::awaitResponses(std::optional<std::chrono::milliseconds> const& timeout) {
    mImpl->faults().pass(simulation::Call::kAwait);
    return mImpl->mailbox().await(timeout);
}

std::vector<Response> Executor::awaitResponses(IdType const& requestId,
                                               std::optional<std::chrono::milliseconds> const& timeout) {
    return mImpl->mailbox().await(requestId, timeout);
}

std::vector<std::vector<Response>> Executor::awaitResponses(
    std::vector<IdType> const& requestIds, std::optional<std::chrono::milliseconds> const& timeout) {
    std::vector<std::vector<Response>> responses;
    for (auto const id : requestIds) {
        responses.push_back(awaitResponses(id, timeout));
    }
    return responses;
}

SizeType32 Executor::getNumResponsesReady(std::optional<IdType> const& requestId) const {
    return mImpl->mailbox().ready(requestId);
}

void Executor::cancelRequest(IdType requestId) {
    mImpl->faults().pass(simulation::Call::kCancel);
    mImpl->intake().cancel(requestId);
}

void Executor::shutdown() { mImpl->shutdown(); }

std::deque<IterationStats> Executor::getLatestIterationStats() {
    mImpl->faults().pass(simulation::Call::kStatistics);
    return mImpl->rings().iterations.drain();
}

std::deque<RequestStatsPerIteration> Executor::getLatestRequestStats() {
    return mImpl->rings().requests.drain();
}

bool Executor::canEnqueueRequests() const { return mImpl->leads(); }

bool Executor::isParticipant() const { return true; }

std::optional<std::shared_ptr<KVCacheEventManager>> Executor::getKVCacheEventManager() const {
    return mImpl->event_manager();
}

}  // namespace tensorrt_llm::executor
