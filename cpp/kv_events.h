// Conversion of the executor's KV cache events to plain values.
//
// Old releases have none, and the structs have grown since: every member is probed, so that it
// compiles against any release.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "bareflight/cpp/engine.h"

namespace bareflight::kv_events {

template <typename Executor, typename = void>
struct HasManager : std::false_type {};
template <typename Executor>
struct HasManager<Executor, std::void_t<decltype(std::declval<Executor&>().getKVCacheEventManager())>>
    : std::true_type {};

#define BAREFLIGHT_HAS_MEMBER(Name, member) \
    template <typename T, typename = void>  \
    struct Name : std::false_type {};       \
    template <typename T>                   \
    struct Name<T, std::void_t<decltype(std::declval<T const&>().member)>> : std::true_type {}

BAREFLIGHT_HAS_MEMBER(IsCreated, numBlocksPerCacheLevel);
BAREFLIGHT_HAS_MEMBER(IsStored, blocks);
BAREFLIGHT_HAS_MEMBER(IsRemoved, blockHashes);
BAREFLIGHT_HAS_MEMBER(HasWindow, windowSize);

#undef BAREFLIGHT_HAS_MEMBER

template <typename Created>
void read_created(Created const& data, KvEvent& event, KvEventBatch& batch) {
    event.kind = KvEventKind::Created;
    for (auto const blocks : data.numBlocksPerCacheLevel) {
        batch.numbers.push_back(static_cast<std::uint64_t>(blocks));
    }
}

template <typename Stored>
void read_stored(Stored const& data, KvEvent& event, KvEventBatch& batch) {
    event.kind = KvEventKind::Stored;
    event.has_parent = data.parentHash.has_value();
    event.parent = data.parentHash.value_or(0);
    for (auto const& block : data.blocks) {
        batch.numbers.push_back(block.blockHash);
        event.beyond_gpu += block.cacheLevel > 0 ? 1 : 0;
    }
}

template <typename Removed>
void read_removed(Removed const& data, KvEvent& event, KvEventBatch& batch) {
    event.kind = KvEventKind::Removed;
    batch.numbers.insert(batch.numbers.end(), data.blockHashes.begin(), data.blockHashes.end());
}

template <typename Updated>
void read_updated(Updated const& data, KvEvent& event, KvEventBatch& batch) {
    event.kind = KvEventKind::Updated;
    batch.numbers.push_back(data.blockHash);
    if (data.cacheLevel) {
        event.level_before = data.cacheLevel->oldValue;
        event.level_after = data.cacheLevel->newValue;
    }
    if (data.priority) {
        event.priority_before = data.priority->oldValue;
        event.priority_after = data.priority->newValue;
    }
}

template <typename Event>
void append(Event const& event_in, KvEventBatch& batch) {
    KvEvent event{};
    event.id = event_in.eventId;
    event.window = -1;
    event.level_before = event.level_after = -1;
    event.priority_before = event.priority_after = -1;
    if constexpr (HasWindow<Event>::value) {
        event.window = event_in.windowSize;
    }
    event.first = static_cast<std::uint32_t>(batch.numbers.size());
    std::visit(
        [&](auto const& data) {
            using Data = std::decay_t<decltype(data)>;
            if constexpr (IsCreated<Data>::value) {
                read_created(data, event, batch);
            } else if constexpr (IsStored<Data>::value) {
                read_stored(data, event, batch);
            } else if constexpr (IsRemoved<Data>::value) {
                read_removed(data, event, batch);
            } else {
                read_updated(data, event, batch);
            }
        },
        event_in.data);
    event.count = static_cast<std::uint32_t>(batch.numbers.size()) - event.first;
    batch.events.push_back(event);
}

/// Throws std::runtime_error when `executor` has no events. One without block reuse has, and gives none.
template <typename Executor>
void require(Executor& executor) {
    if constexpr (HasManager<Executor>::value) {
        if (executor.getKVCacheEventManager()) {
            return;
        }
    }
    throw std::runtime_error(
        "this executor gives no events of its KV cache: they need an engine in this process and a library "
        "that has them; leave the event buffer out");
}

/// Everything since the last call.
template <typename Executor>
void drain(Executor& executor, KvEventBatch& batch) {
    if constexpr (HasManager<Executor>::value) {
        if (auto const manager = executor.getKVCacheEventManager()) {
            for (auto const& event : (*manager)->getLatestEvents(std::chrono::milliseconds(0))) {
                append(event, batch);
            }
        }
    }
}

}  // namespace bareflight::kv_events
