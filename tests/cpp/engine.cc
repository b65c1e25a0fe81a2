// Does the engine keep the bridge's rules? Everything through engine.h, as Rust drives it.
#include "bareflight/cpp/engine.h"

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "bareflight/cpp/bridge.h"
#include "bareflight/cpp/raw_loop.h"
#include "bench.h"
#include "driven.h"

using claims::contains;
using claims::holds;
using claims::same;
using claims::thrown_by;
using namespace std::chrono_literals;

using namespace driven;

namespace {

constexpr int kLength = 3;
constexpr int kTimedOut = 4;
constexpr int kCancelled = 5;

}  // namespace

CLAIM("engine: every request of a batch ends exactly once with all of its tokens") {
    auto const engine = open("null");
    std::vector<RequestHead> heads;
    for (std::uint64_t id = 100; id < 200; ++id) {
        heads.push_back(head(id, 7));
    }
    auto const records = run(*engine, heads);
    same(records.size(), 100U, "requests");
    for (auto const& entry : records) {
        same(entry.second.finals, 1, "final deliveries");
        same(entry.second.tokens.size(), 7U, "tokens");
        same(entry.second.reason, kLength, "finish reason");
        same(entry.second.ending, -1, "ending, not asked for");
    }
}

CLAIM("engine: without streaming one delivery brings the output alone") {
    auto const engine = open("null");
    auto whole = head(1, 9);
    whole.streaming = false;
    auto const records = run(*engine, {whole});
    same(records.at(1).deliveries, 1, "deliveries");
    same(records.at(1).tokens.size(), 9U, "tokens");
}

CLAIM("engine: each head takes its own part of the prompt buffer") {
    auto const engine = open("null");
    auto left = head(1, 5);
    auto right = head(2, 5);
    left.prompt_len = 4;
    right.prompt_start = 4;
    right.prompt_len = 4;
    auto records = run(*engine, {left, right});
    holds(records[1].tokens != records[2].tokens, "both prompts gave the same tokens");
    right.prompt_start = 5;
    contains(thrown_by([&] { submit(*engine, {right}); }), "the prompt of request 2 ends at token 9");
}

CLAIM("engine: sampling, end id and minimum reach the executor") {
    auto const engine = open("null,eos_after=3");
    auto ending = head(1, 20);
    ending.end_id = 2;
    auto longer = head(2, 20);
    longer.end_id = 2;
    longer.min_tokens = 6;
    auto ignoring = head(3, 20);
    auto seeded = head(4, 20);
    seeded.seed = 12;
    auto records = run(*engine, {ending, longer, ignoring, seeded});
    same(records[1].tokens.size(), 3U, "tokens up to the end token");
    same(records[1].deliveries, 4, "deliveries, the empty final one included");
    same(records[2].tokens.size(), 6U, "tokens with a minimum");
    same(records[3].tokens.size(), 20U, "tokens without an end id");
    holds(records[3].tokens != records[4].tokens, "the seed changed nothing");
}

CLAIM("engine: the executor's own stamps come on the final delivery when asked for") {
    auto const engine = open("explicit,base_us=500,draft_len=2");
    auto asked = head(1, 9);
    asked.perf_metrics = true;
    auto const stamps = run(*engine, {asked}).at(1).stamps;
    holds(0 < stamps.arrival_ns && stamps.arrival_ns <= stamps.first_scheduled_ns &&
              stamps.first_scheduled_ns < stamps.first_token_ns &&
              stamps.first_token_ns < stamps.last_token_ns,
          "the stamps are not in order");
    same(stamps.kv_total_blocks, 1, "blocks");
    holds(stamps.draft_tokens > 0 && stamps.last_iteration > stamps.first_iteration, "a counter is missing");
}

CLAIM("engine: an invalid request is refused alone, with its reason") {
    auto const engine = open("null");
    auto empty = head(2, 5);
    empty.prompt_len = 0;
    auto hot = head(3, 5);
    hot.top_p = 1.5F;
    auto const refusals = submit(*engine, {head(1, 5), empty, hot});
    same(refusals.size(), 2U, "refusals");
    same(refusals[0].id, 2U, "id of the first refusal");
    contains(refusals[0].message, "prompt");
    holds(refusals[1].id == 3 && refusals[1].kind == RejectionKind::Invalid, "the second refusal is wrong");
    Records records;
    Batch batch;
    while (pump(*engine, batch, records) == 0) {
    }
    same(records.at(1).tokens.size(), 5U, "tokens of the valid one");
}

CLAIM("engine: a queue that is full in the middle of a batch refuses exactly the rest") {
    auto const engine = open("explicit,base_us=3000,max_batch_size=1", 2);
    Records records;
    Batch batch;
    submit(*engine, {head(1, 30)});
    while (records.empty()) {
        pump(*engine, batch, records);
    }
    auto const refusals = submit(*engine, {head(2, 1), head(3, 1), head(4, 1), head(5, 1)});
    same(refusals.size(), 2U, "refusals");
    holds(refusals[0].id == 4 && refusals[1].id == 5, "others than the last two were refused");
    holds(refusals[0].kind == RejectionKind::QueueFull, "the kind is not the full queue");
    for (std::size_t ended = 0; ended < 3;) {
        ended += pump(*engine, batch, records);
    }
    same(records.size(), 3U, "answered requests");
}

CLAIM("engine: late errors become final deliveries that carry their text") {
    auto const engine = open("null,max_seq_len=6");
    auto const record = run(*engine, {head(1, 5)}).at(1);
    contains(record.error, "Prompt length (8) exceeds maximum input length (5)");
    same(record.tokens.size(), 0U, "tokens");
}

CLAIM("engine: an error without a client id finds its request") {
    Settings settings;
    settings.model = "explicit,base_us=3000,max_batch_size=1";
    settings.max_queue_size = 1;
    settings.orchestrator_worker = "worker";
    auto const engine = bareflight::simulated::open_engine(settings);
    std::atomic<int> ended{0};
    Records records;
    std::thread poller([&] {
        Batch batch;
        while (ended < 6) {
            ended += static_cast<int>(pump(*engine, batch, records, 1ms));
        }
    });
    for (std::uint64_t id = 1; id <= 6; ++id) {
        holds(submit(*engine, {head(id, 5)}).empty(), "orchestrator mode refused at once");
    }
    poller.join();
    int refused = 0;
    for (auto const& entry : records) {
        same(entry.second.finals, 1, "final deliveries");
        refused += entry.second.error.empty() ? 0 : 1;
    }
    claims::within(refused, 1, 5, "requests refused late");
}

CLAIM("engine: cancel ends a request; before the enqueue, twice, or too late it is harmless") {
    auto const engine = open("explicit,base_us=1000");
    engine->cancel(1);
    submit(*engine, {head(1, 10000), head(2, 5)});
    engine->cancel(1);
    engine->cancel(1);
    Records records;
    Batch batch;
    for (std::size_t ended = 0; ended < 2;) {
        ended += pump(*engine, batch, records);
    }
    same(records[1].reason, kCancelled, "finish reason");
    same(records[2].reason, kLength, "finish reason of the other");
    engine->cancel(1);
    auto late = head(3, 10000);
    late.allotted_ms = 10;
    same(run(*engine, {late})[3].reason, kTimedOut, "finish reason when its time is up");
}

CLAIM("engine: polling with no time returns at once, with what is ready") {
    auto const engine = open("null");
    Batch batch;
    Records records;
    auto const begin = bench::Clock::now();
    same(pump(*engine, batch, records, 0us), 0U, "ended requests");
    holds(bench::ms_between(begin, bench::Clock::now()) < 20, "an empty poll waited");
    submit(*engine, {head(1, 3)});
    while (records[1].finals == 0) {
        pump(*engine, batch, records, 0us);
    }
    same(records[1].tokens.size(), 3U, "tokens");
}

CLAIM("engine: a poll in steady state keeps its buffers") {
    auto const engine = open("explicit,base_us=200");
    Batch batch;
    Records records;
    submit(*engine, {head(1, 200), head(2, 200)});
    std::size_t ended = 0;
    for (int i = 0; i < 20; ++i) {
        // On a busy machine few polls bring everything.
        ended += pump(*engine, batch, records);
    }
    batch.deliveries.reserve(1024);
    batch.tokens.reserve(1024);
    auto const* deliveries = batch.deliveries.data();
    auto const* tokens = batch.tokens.data();
    while (ended < 2) {
        ended += pump(*engine, batch, records);
        holds(batch.deliveries.data() == deliveries && batch.tokens.data() == tokens, "a buffer moved");
    }
}

CLAIM("engine: deliveries are stamped after they were made and before they are handed over") {
    auto const engine = open("explicit,base_us=1000");
    auto asked = head(1, 5);
    asked.perf_metrics = true;
    submit(*engine, {asked});
    Batch batch;
    Records records;
    std::int64_t last = 0;
    while (pump(*engine, batch, records) == 0) {
        for (auto const& delivery : batch.deliveries) {
            holds(delivery.received_ns >= last, "stamps went backwards");
            last = delivery.received_ns;
        }
    }
    holds(batch.deliveries.back().received_ns >= records[1].stamps.last_token_ns,
          "received before it was made");
}

CLAIM("engine: statistics are off unless a ring is asked for, and then JSON lines") {
    auto const silent = open("null");
    run(*silent, {head(1, 3)});
    holds(silent->iteration_stats().empty(), "statistics came unasked");
    Settings settings;
    settings.model = "null";
    settings.iteration_stats_ring = 100;
    auto const engine = bareflight::simulated::open_engine(settings);
    run(*engine, {head(1, 3)});
    std::vector<std::string> lines;
    while (!is_idle(lines)) {
        for (auto& line : engine->iteration_stats()) {
            lines.push_back(std::move(line));
        }
    }
    same(lines.size(), 4U, "lines, the idle engine's included");
    contains(lines[0], "\"numCtxTokens\":8");
}

CLAIM("engine: after shutdown polls are empty, submissions refused, cancels ignored") {
    auto const engine = open("null");
    engine->shutdown();
    engine->shutdown();
    Batch batch;
    Records records;
    same(pump(*engine, batch, records), 0U, "ended requests");
    auto const refusals = submit(*engine, {head(1, 1), head(2, 1)});
    same(refusals.size(), 2U, "refusals");
    holds(refusals[1].kind == RejectionKind::ShutDown, "the kind is not the shutdown");
    engine->cancel(1);
    holds(engine->iteration_stats().empty(), "statistics came after shutdown");
}

CLAIM("engine: several producers, one poller, one canceller and a statistics reader agree") {
    Settings settings;
    settings.model = "explicit,base_us=100,max_batch_size=32";
    settings.iteration_stats_ring = 64;
    auto const engine = bareflight::simulated::open_engine(settings);
    constexpr std::uint64_t kEach = 200;
    std::atomic<bool> done{false};
    std::atomic<std::uint64_t> refused{0};
    std::vector<std::thread> threads;
    for (std::uint64_t producer = 0; producer < 3; ++producer) {
        threads.emplace_back([&, producer] {
            for (std::uint64_t i = 0; i < kEach; ++i) {
                refused += submit(*engine, {head(1 + producer * kEach + i, 4)}).size();
                if (i % 5 == 0) {
                    engine->cancel(1 + producer * kEach + i / 2);
                }
            }
        });
    }
    threads.emplace_back([&] {
        while (!done) {
            engine->iteration_stats();
            std::this_thread::sleep_for(1ms);
        }
    });
    Records records;
    Batch batch;
    for (std::size_t ended = 0; ended < 3 * kEach;) {
        ended += pump(*engine, batch, records);
    }
    done = true;
    for (auto& thread : threads) {
        thread.join();
    }
    same(refused.load(), 0U, "refused requests");
    for (auto const& entry : records) {
        same(entry.second.finals, 1, "final deliveries");
        holds(entry.second.reason == kLength || entry.second.reason == kCancelled, "an odd finish reason");
    }
}

CLAIM("engine: shutdown races no call, whoever is inside") {
    for (int round = 0; round < 20; ++round) {
        auto const engine = open("explicit,base_us=50");
        std::vector<std::thread> threads;
        threads.emplace_back([&] {
            Batch batch;
            for (int i = 0; i < 50; ++i) {
                engine->poll(1ms, batch);
            }
        });
        threads.emplace_back([&] {
            for (std::uint64_t id = 1; id < 50; ++id) {
                submit(*engine, {head(id, 3)});
                engine->cancel(id);
            }
        });
        threads.emplace_back([&] { engine->iteration_stats(); });
        std::this_thread::sleep_for(std::chrono::microseconds(round * 100));
        threads.emplace_back([&] { engine->shutdown(); });
        engine->shutdown();
        for (auto& thread : threads) {
            thread.join();
        }
    }
}

CLAIM("engine: the raw loop counts every token of every request") {
    Settings settings;
    settings.model = "null";
    auto const counted = bareflight::simulated::run_raw_loop(settings, 100, 8, 16, 12);
    same(counted.tokens, 1200U, "tokens");
    same(counted.deliveries, 1200U, "deliveries");
    holds(counted.wall_ns > 0 && counted.process_cpu_ns > 0, "no time passed");
    contains(thrown_by([&] { bareflight::simulated::run_raw_loop(settings, 1, 0, 16, 12); }), "concurrency");
}

CLAIM("bridge: an exception becomes its text, and one of another type names that type") {
    struct Oddity {};
    std::string said;
    auto const fail = [&](std::string const& text) { said = text; };
    rust::behavior::trycatch([] {}, fail);
    same(said, std::string(), "text without an exception");
    rust::behavior::trycatch([] { throw std::runtime_error("no room"); }, fail);
    same(said, std::string("no room"), "text of a std::exception");
    rust::behavior::trycatch([] { throw Oddity(); }, fail);
    contains(said, "not a std::exception, of type ");
    contains(said, "Oddity");
    rust::behavior::trycatch([] { throw 5; }, fail);
    contains(said, "of type int");
}
