// Engine over tensorrt_llm::executor, the one implementation of the abstract engine.
//
// HOT PATH: poll. In steady state it allocates nothing of its own; what awaitResponses allocates is the
// library's.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <stdexcept>

#include "bareflight/cpp/convert.h"
#include "bareflight/cpp/engine.h"
#include "bareflight/cpp/kv_events.h"
#include "bareflight/cpp/live_requests.h"
#include "bareflight/cpp/shutdown_gate.h"
#include "tensorrt_llm/executor/executor.h"

namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE {

namespace tle = tensorrt_llm::executor;

namespace {

RejectionKind kind_of(std::string const& message) {
    if (message.find("queue size") != std::string::npos) {
        return RejectionKind::QueueFull;
    }
    return message.find("Shutdown called") != std::string::npos ? RejectionKind::ShutDown
                                                                : RejectionKind::Other;
}

std::int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

void require_within(char const* what, std::uint64_t id, std::uint64_t end, std::size_t token_count) {
    if (end > token_count) {
        throw std::out_of_range(std::string("the ") + what + " of request " + std::to_string(id) +
                                " ends at token " + std::to_string(end) + " of a buffer of " +
                                std::to_string(token_count));
    }
}

void require_tokens_within(RequestHead const* heads, std::size_t count, std::size_t token_count) {
    for (std::size_t i = 0; i < count; ++i) {
        auto const& head = heads[i];
        require_within("prompt", head.id, std::uint64_t{head.prompt_start} + head.prompt_len, token_count);
        require_within("draft", head.id, std::uint64_t{head.draft_start} + head.draft_len, token_count);
    }
}

class ExecutorEngine final : public Engine {
  public:
    explicit ExecutorEngine(Settings const& settings)
        : mExecutor(settings.model, tle::ModelType::kDECODER_ONLY, make_config(settings)) {
        if (!mExecutor.canEnqueueRequests()) {
            throw std::runtime_error(
                "this process is not the leader of its MPI job: rank 0 drives the engine");
        }
        if (settings.kv_event_buffer > 0) {
            if (!settings.kv_block_reuse) {
                throw std::runtime_error(
                    "events of the KV cache need block reuse: without it the executor gives none");
            }
            bareflight::kv_events::require(mExecutor);
        }
    }

    ~ExecutorEngine() override {
        // Whoever wants to know how it ended has called `shutdown`; an exception here would end the program.
        try {
            shutdown();
        } catch (std::exception const& error) {
            std::fprintf(stderr, "the executor threw while it was shut down: %s\n", error.what());
        } catch (...) {
            std::fprintf(stderr, "the executor threw while it was shut down\n");
        }
    }

    std::string version() const override { return tle::version(); }

    void submit(RequestHead const* heads, std::size_t count, std::int32_t const* tokens,
                std::size_t token_count, std::vector<Refusal>& refusals) override {
        require_tokens_within(heads, count, token_count);
        ShutdownGate::Pass const pass(mGate);
        auto const words = current_words();
        std::vector<RequestHead> accepted;
        std::vector<tle::Request> requests;
        accepted.reserve(count);
        requests.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            if (!pass) {
                refusals.push_back({heads[i].id, RejectionKind::ShutDown, "Shutdown called"});
                continue;
            }
            try {
                requests.push_back(make_request(heads[i], tokens, *words));
                accepted.push_back(heads[i]);
            } catch (std::exception const& error) {
                refusals.push_back({heads[i].id, RejectionKind::Invalid, error.what()});
            }
        }
        if (!requests.empty()) {
            mLive.add(accepted);
            try {
                enqueue(accepted, requests, refusals);
            } catch (...) {
                for (auto const& head : accepted) {
                    mLive.remove(head.id);
                }
                throw;
            }
        }
    }

    void set_words(Words words) override {
        auto fresh = std::make_shared<Words const>(std::move(words));
        std::lock_guard const lock(mWordsMutex);
        mWords = std::move(fresh);
    }

    void poll(std::chrono::microseconds timeout, Batch& batch) override {
        batch.clear();
        ShutdownGate::Pass const pass(mGate);
        if (!pass) {
            return;
        }
        // Rounded up, and never 0 milliseconds: an empty poll asks instead of waiting.
        if (timeout.count() <= 0 && mExecutor.getNumResponsesReady() == 0) {
            return;
        }
        std::chrono::milliseconds const wait =
            std::max(std::chrono::ceil<std::chrono::milliseconds>(timeout), std::chrono::milliseconds(1));
        auto const responses = mExecutor.awaitResponses(wait);
        auto const received_ns = now_ns();
        for (auto const& response : responses) {
            append(response, received_ns, batch);
        }
        if (mHasOrphans.load()) {
            adopt_orphans(received_ns, batch);
        }
        if (!batch.deliveries.empty()) {
            mLive.remove_finished(batch.deliveries);
        }
    }

    void cancel(std::uint64_t id) override {
        ShutdownGate::Pass const pass(mGate);
        auto const executor_id = mLive.cancel(id);
        if (pass && executor_id) {
            mExecutor.cancelRequest(*executor_id);
        }
    }

    std::vector<std::string> iteration_stats() override {
        std::vector<std::string> lines;
        ShutdownGate::Pass const pass(mGate);
        if (pass) {
            for (auto const& stats : mExecutor.getLatestIterationStats()) {
                lines.push_back(tle::JsonSerialization::toJsonStr(stats));
            }
        }
        return lines;
    }

    KvEventBatch kv_events() override {
        KvEventBatch batch;
        ShutdownGate::Pass const pass(mGate);
        if (pass) {
            bareflight::kv_events::drain(mExecutor, batch);
        }
        return batch;
    }

    void shutdown() override {
        mGate.close([this] { mExecutor.shutdown(); });
    }

  private:
    /// An error that came without a client id before its request's executor id was known.
    struct Orphan {
        std::uint64_t executor_id;
        std::string message;
    };

    /// All at once; if the executor refuses that, one by one, so that each refusal is exact.
    void enqueue(std::vector<RequestHead> const& heads, std::vector<tle::Request> const& requests,
                 std::vector<Refusal>& refusals) {
        std::vector<tle::IdType> executor_ids;
        try {
            executor_ids = mExecutor.enqueueRequests(requests);
        } catch (std::exception const& error) {
            if (requests.size() == 1) {
                refuse(heads.front().id, error.what(), refusals);
                return;
            }
        }
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (!executor_ids.empty()) {
                learn(heads[i].id, executor_ids[i]);
                continue;
            }
            try {
                learn(heads[i].id, mExecutor.enqueueRequest(requests[i]));
            } catch (std::exception const& error) {
                refuse(heads[i].id, error.what(), refusals);
            }
        }
    }

    std::shared_ptr<Words const> current_words() const {
        std::lock_guard const lock(mWordsMutex);
        return mWords;
    }

    void refuse(std::uint64_t id, std::string const& message, std::vector<Refusal>& refusals) {
        mLive.remove(id);
        refusals.push_back({id, kind_of(message), message});
    }

    void learn(std::uint64_t id, tle::IdType executor_id) {
        if (mLive.learn(id, executor_id)) {
            mExecutor.cancelRequest(executor_id);
        }
    }

    void append(tle::Response const& response, std::int64_t received_ns, Batch& batch) {
        auto id = response.getClientId();
        if (!id) {
            id = mLive.find_by_executor_id(response.getRequestId());
        }
        if (!id) {
            std::lock_guard const lock(mOrphansMutex);
            mOrphans.push_back({response.getRequestId(), response.hasError()
                                                             ? response.getErrorMsg()
                                                             : "the executor answered without a client id"});
            mHasOrphans.store(true);
        } else if (response.hasError()) {
            append_error(*id, received_ns, response.getErrorMsg(), batch);
        } else {
            auto const& result = response.getResult();
            auto const tokens = result.outputTokenIds.empty() ? 0 : result.outputTokenIds.front().size();
            append_result(*id, received_ns, result, mLive.delivered_before(*id, tokens), batch);
        }
    }

    void adopt_orphans(std::int64_t received_ns, Batch& batch) {
        std::lock_guard const lock(mOrphansMutex);
        auto const adopted = [&](Orphan const& orphan) {
            auto const id = mLive.find_by_executor_id(orphan.executor_id);
            if (id) {
                append_error(*id, received_ns, orphan.message, batch);
            }
            return id.has_value();
        };
        mOrphans.erase(std::remove_if(mOrphans.begin(), mOrphans.end(), adopted), mOrphans.end());
        mHasOrphans.store(!mOrphans.empty());
    }

    ShutdownGate mGate;
    LiveRequests mLive;
    mutable std::mutex mWordsMutex;
    std::shared_ptr<Words const> mWords = std::make_shared<Words const>();
    std::mutex mOrphansMutex;
    std::vector<Orphan> mOrphans;
    std::atomic<bool> mHasOrphans{false};
    // Last, so that it is gone before anything its callers use.
    tle::Executor mExecutor;
};

}  // namespace

std::unique_ptr<Engine> open_engine(Settings const& settings) {
    return std::make_unique<ExecutorEngine>(settings);
}

void run_worker_rank(Settings const& settings) {
    tle::Executor executor(settings.model, tle::ModelType::kDECODER_ONLY, make_config(settings));
    if (executor.canEnqueueRequests()) {
        throw std::runtime_error("this process leads its MPI job: another rank was expected to");
    }
    // Returns when the leader has shut down.
    executor.shutdown();
}

}  // namespace bareflight::BAREFLIGHT_ENGINE_NAMESPACE
