// Closed loop on the executor without a bridge: enqueue, await, stamp, count, enqueue the next.
#include "bareflight/cpp/raw_loop.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <vector>

#include "bareflight/cpp/convert.h"
#include "tensorrt_llm/executor/executor.h"

namespace bareflight::simulated {

namespace tle = tensorrt_llm::executor;

namespace {

using Clock = std::chrono::steady_clock;

/// Long enough that a timeout means a fault, short enough to notice one.
constexpr std::chrono::milliseconds kPatience{30'000};

std::int64_t process_cpu_ns() {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

RequestHead head_of(std::uint64_t id, std::uint32_t prompt_len, std::int32_t max_tokens) {
    RequestHead head{};
    head.id = id;
    head.prompt_len = prompt_len;
    head.max_tokens = max_tokens;
    head.end_id = -1;
    head.pad_id = -1;
    head.streaming = true;
    head.priority = 0.5F;
    head.temperature = -1;
    return head;
}

}  // namespace

RawLoop run_raw_loop(Settings const& settings, std::uint64_t requests, std::uint32_t concurrency,
                     std::uint32_t prompt_len, std::int32_t max_tokens) {
    if (requests == 0 || concurrency == 0) {
        throw std::invalid_argument(
            "the raw loop needs at least one request and a concurrency of at least 1");
    }
    tle::Executor executor(settings.model, tle::ModelType::kDECODER_ONLY, make_config(settings));
    std::vector<std::int32_t> const prompt(prompt_len, 1);
    auto const begin = Clock::now();
    auto const cpu_begin = process_cpu_ns();

    RawLoop counted{};
    std::uint64_t sent = 0;
    std::uint64_t finished = 0;
    std::vector<tle::Request> next;
    Clock::time_point received{};
    auto due = std::min<std::uint64_t>(concurrency, requests);
    while (finished < requests) {
        if (due > 0) {
            next.clear();
            for (; due > 0; --due) {
                next.push_back(make_request(head_of(sent++, prompt_len, max_tokens), prompt.data(), Words{}));
            }
            executor.enqueueRequests(next);
        }
        auto const responses = executor.awaitResponses(kPatience);
        received = Clock::now();
        if (responses.empty()) {
            throw std::runtime_error("the raw loop waited 30 s for the executor in vain");
        }
        for (auto const& response : responses) {
            if (response.hasError()) {
                throw std::runtime_error("the raw loop got an error response: " + response.getErrorMsg());
            }
            auto const& result = response.getResult();
            ++counted.deliveries;
            counted.tokens += result.outputTokenIds.front().size();
            if (result.isFinal) {
                ++finished;
                due += sent + due < requests ? 1 : 0;
            }
        }
    }
    counted.wall_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(received - begin).count();
    counted.process_cpu_ns = process_cpu_ns() - cpu_begin;
    return counted;
}

}  // namespace bareflight::simulated
