// Does simulated time keep what the cost model says? Stamps against a pure function.
#include <thread>

#include "bareflight/cpp/simulated/profile.h"
#include "bench.h"

using namespace bench;
using claims::holds;
using claims::same;
using claims::within;
namespace sim = tensorrt_llm::simulation;

namespace {

/// A shared machine wakes threads late now and then; earlier than modelled they must never be.
constexpr double kLateMs = 40;

double total_ms(Answer const& answer) {
    auto const& timing = answer.metrics().timingMetrics;
    return ms_between(timing.firstScheduledTime, timing.lastTokenTime);
}

}  // namespace

CLAIM("the cost of an iteration is the sum of its declared parts") {
    auto const profile = sim::parse_profile(
        "explicit,base_us=100,prefill_us_per_token=2,decode_us_per_sequence=3,kv_ns_per_token=0.5");
    same(profile.cost.iteration_cost_ns({10, 4, 1000}), 100'000 + 20'000 + 12'000 + 500, "cost in ns");
    same(profile.cost.iteration_cost_ns({0, 0, 0}), 0, "cost of nothing");
    holds(sim::parse_profile("null").cost.free_of_charge(), "the profile null has a cost");
}

CLAIM("a roofline iteration takes the slower of memory traffic and arithmetic") {
    auto const profile = sim::parse_profile("h200-llama3-8b-fp16,base_us=0");
    auto const& roofline = profile.cost.roofline;
    // One token: all weights once over 80 % of 4.8 TB/s.
    within(profile.cost.iteration_cost_ns({0, 1, 0}) / 1e6, 4.18, 4.19, "ms of one decoding step");
    // 4096 tokens: 2 x 8.03e9 operations each at 60 % of 989 TFLOP/s.
    within(profile.cost.iteration_cost_ns({4096, 0, 0}) / 1e6, 110.0, 111.5, "ms of a long prefill");
    within(roofline.kv_ns_per_token, 34.0, 34.3, "ns per token of the KV cache");
    auto const split = sim::parse_profile("h200-llama3-8b-fp16-tp2,base_us=0");
    within(split.cost.iteration_cost_ns({0, 1, 0}) / 1e6, 2.09 + 0.384, 2.09 + 0.390, "ms on two GPUs");
}

CLAIM("stamps show the modelled time: prefill, then one step per token") {
    auto executor = open("explicit,base_us=1000,prefill_us_per_token=50,decode_us_per_sequence=500");
    auto const answer = answer_of(executor, with_metrics(streaming(100, 11)));
    auto const& timing = answer.metrics().timingMetrics;
    within(ms_between(timing.firstScheduledTime, timing.firstTokenTime), 6.0, 6.0 + kLateMs,
           "ms to the first token");
    // Counted from the start: a first token stamped late is made up for by the steps behind it.
    within(total_ms(answer), 20.9, 21.0 + kLateMs, "ms to the last of ten more");
    holds(timing.arrivalTime <= timing.firstScheduledTime, "scheduled before it arrived");
}

CLAIM("time does not drift: many iterations take what they should, late wake-ups are made up for") {
    auto executor = open("explicit,base_us=500");
    auto const answer = answer_of(executor, with_metrics(streaming(8, 400)));
    within(total_ms(answer), 199.9, 200.0 + kLateMs, "ms of 400 iterations of 0.5 ms");
}

CLAIM("arrival is stamped when the loop fetches the request, so time in the queue is not in it") {
    auto executor = open("explicit,base_us=1000,max_batch_size=1");
    auto const request = with_metrics(streaming(8, 20));
    auto const begin = Clock::now();
    auto const ids = executor.enqueueRequests({request, request});
    auto answers = answers_of(executor, ids);
    auto const& second = answers[ids[1]].metrics().timingMetrics;
    holds(ms_between(begin, second.arrivalTime) >= 19.9, "the second request arrived before the first ended");
    holds(ms_between(second.arrivalTime, second.firstTokenTime) < 1.0 + kLateMs,
          "the queue is in its first token");
}

CLAIM("a stall stops the engine once, for as long as declared") {
    auto executor = open("explicit,base_us=1000,stall_at_ms=10,stall_ms=60");
    auto const answer = answer_of(executor, with_metrics(streaming(8, 30)));
    within(total_ms(answer), 89.9, 90.0 + kLateMs, "ms of 30 iterations and the stall");
    int gaps = 0;
    for (std::size_t i = 1; i < answer.received.size(); ++i) {
        gaps += ms_between(answer.received[i - 1], answer.received[i]) >= 55 ? 1 : 0;
    }
    same(gaps, 1, "gaps as long as the stall");
}

CLAIM("an idle engine stalls too: a request that comes then waits for the end") {
    auto executor = open("null,stall_at_ms=20,stall_ms=60");
    auto const first = answer_of(executor, with_metrics(streaming(8, 1)));
    auto const begin = first.metrics().timingMetrics.arrivalTime;
    std::this_thread::sleep_until(begin + 30ms);
    auto const second = answer_of(executor, with_metrics(streaming(8, 1)));
    within(ms_between(begin, second.metrics().timingMetrics.firstTokenTime), 79.9, 80.0 + kLateMs,
           "ms from the first arrival to the second's token");
}

CLAIM("loading takes as long as declared") {
    auto const begin = Clock::now();
    auto const executor = open("null,load_ms=50");
    within(ms_between(begin, Clock::now()), 49.9, 50.0 + kLateMs, "ms to open");
}

CLAIM("requests in one batch share its iterations") {
    auto executor = open("explicit,base_us=2000");
    auto const ids = executor.enqueueRequests(std::vector<tle::Request>(8, with_metrics(streaming(8, 10))));
    auto answers = answers_of(executor, ids);
    Clock::time_point begin = Clock::time_point::max();
    Clock::time_point end;
    for (auto const id : ids) {
        begin = std::min(begin, answers[id].metrics().timingMetrics.firstScheduledTime);
        end = std::max(end, answers[id].metrics().timingMetrics.lastTokenTime);
    }
    within(ms_between(begin, end), 19.9, 20.0 + kLateMs, "ms of the whole batch");
}
