// How does a claim drive an engine? As Rust does: a batch in, polls until every request has ended.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bareflight/cpp/engine.h"
#include "bench.h"

namespace driven {

using claims::holds;
using namespace std::chrono_literals;
using bareflight::Batch;
using bareflight::Delivery;
using bareflight::Engine;
using bareflight::Refusal;
using bareflight::RejectionKind;
using bareflight::RequestHead;
using bareflight::Settings;

inline std::unique_ptr<Engine> open(std::string const& profile, int max_queue_size = 0,
                                    bool kv_block_reuse = false) {
    Settings settings;
    settings.model = profile;
    settings.max_queue_size = max_queue_size;
    settings.kv_block_reuse = kv_block_reuse;
    return bareflight::simulated::open_engine(settings);
}

inline RequestHead head(std::uint64_t id, int max_tokens) {
    RequestHead head{};
    head.id = id;
    head.prompt_len = 8;
    head.max_tokens = max_tokens;
    head.end_id = -1;
    head.pad_id = -1;
    head.streaming = true;
    head.priority = 0.5F;
    head.temperature = -1;
    return head;
}

inline std::vector<std::int32_t> const kPrompt{1, 2, 3, 4, 5, 6, 7, 8};

inline std::vector<Refusal> submit(Engine& engine, std::vector<RequestHead> const& heads) {
    std::vector<Refusal> refusals;
    engine.submit(heads.data(), heads.size(), kPrompt.data(), kPrompt.size(), refusals);
    return refusals;
}

/// Whether the last of these lines is that of an idle engine.
inline bool is_idle(std::vector<std::string> const& lines) {
    return !lines.empty() && lines.back().find("\"numActiveRequests\":0,") != std::string::npos;
}

struct Record {
    std::vector<std::int32_t> tokens;
    int deliveries = 0;
    int finals = 0;
    std::int32_t reason = 0;
    std::string error;
    std::int32_t ending = -1;
    bareflight::Ending stamps{};
};

using Records = std::map<std::uint64_t, Record>;

/// One poll; returns how many requests ended with it.
inline std::size_t pump(Engine& engine, Batch& batch, Records& records,
                        std::chrono::microseconds timeout = 100ms) {
    engine.poll(timeout, batch);
    std::size_t ended = 0;
    for (auto const& delivery : batch.deliveries) {
        auto& record = records[delivery.id];
        auto const from = batch.tokens.begin() + delivery.token_start;
        record.tokens.insert(record.tokens.end(), from, from + delivery.token_count);
        ++record.deliveries;
        if (delivery.error >= 0) {
            record.error = batch.errors.at(static_cast<std::size_t>(delivery.error));
            holds(delivery.is_final, "an error was not final");
        }
        if (delivery.is_final) {
            ++record.finals;
            ++ended;
            record.reason = delivery.finish_reason;
            record.ending = delivery.ending;
            if (delivery.ending >= 0) {
                record.stamps = batch.endings.at(static_cast<std::size_t>(delivery.ending));
            }
        }
    }
    return ended;
}

inline Records run(Engine& engine, std::vector<RequestHead> const& heads) {
    auto const refusals = submit(engine, heads);
    holds(refusals.empty(), refusals.empty() ? "" : refusals[0].message);
    Records records;
    Batch batch;
    auto const patience = bench::Clock::now() + 30s;
    for (std::size_t ended = 0; ended < heads.size();) {
        holds(bench::Clock::now() < patience, "the deliveries did not come");
        ended += pump(engine, batch, records);
    }
    return records;
}

}  // namespace driven
