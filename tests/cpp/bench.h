// How does a claim speak to the simulated executor? Requests made short, responses gathered until all are
// final.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "claims.h"
#include "tensorrt_llm/executor/executor.h"

namespace bench {

namespace tle = tensorrt_llm::executor;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

inline tle::VecTokens prompt(int length, int salt = 0) {
    tle::VecTokens tokens;
    for (int i = 0; i < length; ++i) {
        tokens.push_back((i * 7 + salt * 1009) % 1000);
    }
    return tokens;
}

inline tle::Request streaming(int prompt_len, int max_tokens, int salt = 0) {
    return tle::Request(prompt(prompt_len, salt), max_tokens, true);
}

inline tle::Request with_metrics(tle::Request request) {
    request.setOutputConfig(tle::OutputConfig(false, false, false, true, false, true));
    return request;
}

inline tle::Executor open(std::string const& profile,
                          tle::ExecutorConfig const& config = tle::ExecutorConfig()) {
    return tle::Executor(profile, tle::ModelType::kDECODER_ONLY, config);
}

/// All that came for one request.
struct Answer {
    std::vector<tle::Response> responses;
    std::vector<Clock::time_point> received;
    tle::VecTokens tokens;
    std::string error;
    bool final = false;
    tle::FinishReason reason = tle::FinishReason::kNOT_FINISHED;

    tle::Result const& last() const { return responses.back().getResult(); }
    tle::RequestPerfMetrics const& metrics() const { return *last().requestPerfMetrics; }
};

using Answers = std::map<tle::IdType, Answer>;

inline void gather(tle::Executor& executor, Answers& answers, std::chrono::milliseconds timeout) {
    auto responses = executor.awaitResponses(timeout);
    auto const now = Clock::now();
    for (auto& response : responses) {
        auto& answer = answers[response.getRequestId()];
        claims::holds(!answer.final, "a response came after the final one");
        answer.received.push_back(now);
        if (response.hasError()) {
            answer.error = response.getErrorMsg();
            answer.final = true;
        } else {
            auto const& result = response.getResult();
            auto const& row = result.outputTokenIds.front();
            answer.tokens.insert(answer.tokens.end(), row.begin(), row.end());
            answer.reason = result.finishReasons.front();
            answer.final = result.isFinal;
        }
        answer.responses.push_back(std::move(response));
    }
}

/// Gathers until every id is final; throws when that takes longer than half a minute.
inline Answers answers_of(tle::Executor& executor, std::vector<tle::IdType> const& ids) {
    Answers answers;
    auto const patience = Clock::now() + 30s;
    auto const done = [&] {
        for (auto const id : ids) {
            if (!answers[id].final) {
                return false;
            }
        }
        return true;
    };
    while (!done()) {
        claims::holds(Clock::now() < patience, "the answers did not come");
        gather(executor, answers, 100ms);
    }
    return answers;
}

inline Answer answer_of(tle::Executor& executor, tle::Request const& request) {
    auto const id = executor.enqueueRequest(request);
    return answers_of(executor, {id})[id];
}

/// Statistics up to the line that an idle engine adds, which is the last; throws when it does not come.
inline std::deque<tle::IterationStats> lines_of(tle::Executor& executor) {
    std::deque<tle::IterationStats> lines;
    auto const patience = Clock::now() + 30s;
    while (lines.empty() || lines.back().numActiveRequests > 0) {
        claims::holds(Clock::now() < patience, "the engine did not go idle");
        for (auto& line : executor.getLatestIterationStats()) {
            lines.push_back(std::move(line));
        }
    }
    return lines;
}

/// The same without the lines of an idle engine.
inline std::deque<tle::IterationStats> iterations_of(tle::Executor& executor) {
    auto lines = lines_of(executor);
    auto const is_idle = [](tle::IterationStats const& line) { return line.numActiveRequests == 0; };
    lines.erase(std::remove_if(lines.begin(), lines.end(), is_idle), lines.end());
    return lines;
}

inline double ms_between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace bench
