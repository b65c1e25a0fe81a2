// What does the executor say of the blocks of its KV cache, and does it agree with what it does?
#include <set>

#include "driven.h"

using namespace bench;
using claims::contains;
using claims::holds;
using claims::same;
using claims::thrown_by;

namespace {

constexpr int kBlock = 32;

tle::ExecutorConfig telling(std::size_t buffer, bool reuse = true) {
    tle::KvCacheConfig cache(reuse);
    cache.setEventBufferMaxSize(buffer);
    tle::ExecutorConfig config;
    config.setKvCacheConfig(cache);
    return config;
}

/// Events may come after the responses that they belong to; a request that is refused comes after them.
std::deque<tle::KVCacheEvent> events_of(tle::Executor& executor) {
    auto refused = streaming(1, 1);
    refused.setEndId(1 << 24);
    holds(!answer_of(executor, refused).error.empty(), "an end token outside the vocabulary was taken");
    return (*executor.getKVCacheEventManager())->getLatestEvents(0ms);
}

tle::VecTokens tokens_of(tle::KVCacheStoredBlockData const& block) {
    tle::VecTokens tokens;
    for (auto const& token : block.tokens) {
        tokens.push_back(token.tokenId);
    }
    return tokens;
}

/// What is in the cache, if the events are to be believed. Throws where they contradict each other.
class Believed {
  public:
    void follow(std::deque<tle::KVCacheEvent> const& events) {
        for (auto const& event : events) {
            same(event.eventId, mNext++, "number of the event");
            if (auto const* stored = std::get_if<tle::KVCacheStoredData>(&event.data)) {
                store(*stored);
            } else if (auto const* removed = std::get_if<tle::KVCacheRemovedData>(&event.data)) {
                for (auto const hash : removed->blockHashes) {
                    same(mThere.erase(hash), 1U, "blocks of a removed hash that were stored before");
                    ++mRemoved;
                }
            }
        }
    }

    std::size_t size() const { return mThere.size(); }
    std::size_t stored() const { return mStored; }
    std::size_t removed() const { return mRemoved; }

    /// How many leading blocks of `prompt` are there; of the last one a token must be left to compute.
    int found(tle::VecTokens const& prompt) const {
        std::optional<tle::IdType> parent;
        int blocks = 0;
        auto const most = static_cast<int>(prompt.size() - 1) / kBlock;
        for (; blocks < most; ++blocks) {
            auto const from = prompt.begin() + blocks * kBlock;
            auto const next = mChildren.find({parent, tle::VecTokens(from, from + kBlock)});
            if (next == mChildren.end() || mThere.count(next->second) == 0) {
                break;
            }
            parent = next->second;
        }
        return blocks;
    }

  private:
    void store(tle::KVCacheStoredData const& data) {
        auto parent = data.parentHash;
        for (auto const& block : data.blocks) {
            holds(!parent || mThere.count(*parent) == 1, "the parent of a stored block is not there");
            holds(mThere.insert(block.blockHash).second, "a block was stored that is there already");
            same(block.tokens.size(), std::size_t{kBlock}, "tokens of a stored block");
            mChildren[{parent, tokens_of(block)}] = block.blockHash;
            parent = block.blockHash;
            ++mStored;
        }
    }

    tle::IdType mNext = 0;
    std::set<tle::IdType> mThere;
    std::map<std::pair<std::optional<tle::IdType>, tle::VecTokens>, tle::IdType> mChildren;
    std::size_t mStored = 0;
    std::size_t mRemoved = 0;
};

}  // namespace

CLAIM("without block reuse or a buffer there is a manager of events all the same, which gives none") {
    for (auto const& config : {telling(100, false), telling(0)}) {
        auto executor = open("null", config);
        answer_of(executor, streaming(100, 2));
        lines_of(executor);
        holds(events_of(executor).empty(), "events came");
    }
    bareflight::Settings settings;
    settings.model = "null";
    settings.kv_event_buffer = 100;
    contains(thrown_by([&] { bareflight::simulated::open_engine(settings); }), "block reuse");
}

CLAIM("the first event says how many blocks there are") {
    auto executor = open("null,kv_tokens=320", telling(100));
    auto const events = events_of(executor);
    same(events.size(), 1U, "events");
    auto const& created = std::get<tle::KVCacheCreatedData>(events.front().data);
    holds(created.numBlocksPerCacheLevel == std::vector<tle::SizeType32>{10, 0}, "other blocks were created");
    holds(events_of(executor).empty(), "reading did not drain");
}

CLAIM("a removed block was stored before, a stored one has its parent there, and what is there is found") {
    // Room for 20 blocks; prompts of up to 4 blocks, several of them with equal beginnings.
    auto executor = open("null,kv_tokens=640", telling(10'000));
    Believed believed;
    std::int32_t reused = 0;
    for (int round = 0; round < 200; ++round) {
        auto prompt = bench::prompt(kBlock * (1 + round % 3), round % 4);
        auto const tail = bench::prompt(kBlock + 5, 10 + round * 7 % 11);
        prompt.insert(prompt.end(), tail.begin(), tail.end());
        believed.follow(events_of(executor));
        auto const expected = believed.found(prompt);
        auto const answer = answer_of(executor, with_metrics(tle::Request(prompt, 40, true)));
        same(answer.metrics().kvCacheMetrics.numReusedBlocks, expected, "blocks that were found");
        reused += expected;
        auto const stats = lines_of(executor);
        same(stats.back().kvCacheStats->reusedBlocks, reused, "found blocks in the statistics");
        believed.follow(events_of(executor));
        holds(believed.size() <= 20, "more blocks are there than the cache has");
    }
    holds(reused > 50 && believed.removed() > 50, "nothing was found or nothing removed: nothing was tested");
    same(believed.stored() - believed.removed(), believed.size(), "stored minus removed");
}

CLAIM("stored minus removed is what the statistics say is held, where requests hold whole blocks alone") {
    // Whole blocks, no room kept for later tokens: with one token asked for, what a request holds is what it
    // stores.
    auto executor = open("null,kv_tokens=3200", telling(10'000));
    Believed believed;
    std::vector<tle::Request> requests;
    for (int salt = 0; salt < 5; ++salt) {
        requests.push_back(streaming(kBlock * (salt + 1), 1, salt + 1));
    }
    answers_of(executor, executor.enqueueRequests(requests));
    auto const iterations = iterations_of(executor);
    believed.follow(events_of(executor));
    std::int32_t held = 0;
    for (auto const& stats : iterations) {
        held += stats.kvCacheStats->usedNumBlocks;
    }
    same(held, 1 + 2 + 3 + 4 + 5, "blocks held over all iterations");
    same(believed.stored() - believed.removed(), static_cast<std::size_t>(held), "stored minus removed");
}

CLAIM("events that nobody reads are lost, the oldest first, and their numbers are missing") {
    auto executor = open("null", telling(3));
    for (int salt = 0; salt < 10; ++salt) {
        answer_of(executor, streaming(kBlock + 1, 1, salt + 1));
    }
    lines_of(executor);
    auto const events = events_of(executor);
    same(events.size(), 3U, "events");
    // One to create the cache, and one for each prompt.
    same(events.front().eventId, 8U, "number of the oldest event");
    same(events.back().eventId, 10U, "number of the newest event");
}

CLAIM("waiting for events ends with one, with the timeout, or with the executor") {
    auto executor = open("null", telling(100));
    auto const manager = *executor.getKVCacheEventManager();
    same(manager->getLatestEvents(10s).size(), 1U, "events that were there already");
    auto const began = Clock::now();
    holds(manager->getLatestEvents(20ms).empty(), "an event came from nowhere");
    holds(ms_between(began, Clock::now()) >= 19, "it did not wait");
    executor.shutdown();
    holds(manager->getLatestEvents().empty(), "an event came after the end");
}

CLAIM("the engine hands events over in one piece, each with its blocks") {
    bareflight::Settings settings;
    settings.model = "null,kv_tokens=96";
    settings.kv_block_reuse = true;
    settings.kv_event_buffer = 100;
    auto const engine = bareflight::simulated::open_engine(settings);
    auto const created = engine->kv_events();
    same(created.events.size(), 1U, "events");
    holds(created.events[0].kind == bareflight::KvEventKind::Created && created.numbers[0] == 3,
          "it was not created with 3 blocks");
    std::vector<std::int32_t> prompt(65);
    std::uint64_t stored = 0;
    std::uint64_t removed = 0;
    for (int round = 0; round < 3; ++round) {
        std::fill(prompt.begin(), prompt.end(), round + 1);
        auto head = driven::head(static_cast<std::uint64_t>(round), 1);
        head.prompt_len = 65;
        std::vector<bareflight::Refusal> refusals;
        engine->submit(&head, 1, prompt.data(), prompt.size(), refusals);
        driven::Records records;
        bareflight::Batch batch;
        while (driven::pump(*engine, batch, records) == 0) {
        }
        // A request that is refused comes after all events of those before.
        auto refused = driven::head(100 + static_cast<std::uint64_t>(round), 1);
        refused.end_id = 1 << 24;
        holds(!driven::run(*engine, {refused}).begin()->second.error.empty(), "it was not refused");
        auto const events = engine->kv_events();
        for (auto const& event : events.events) {
            holds(event.first + event.count <= events.numbers.size(), "an event points beyond its numbers");
            bool const is_stored = event.kind == bareflight::KvEventKind::Stored;
            (is_stored ? stored : removed) += event.count;
            holds(!is_stored || (!event.has_parent && event.beyond_gpu == 0 && event.window > 0),
                  "a prompt's first block has a parent, or lies beyond the GPU");
        }
    }
    same(stored, 6U, "stored blocks");
    // Each prompt wants all three blocks, of which it fills two.
    same(removed, 4U, "removed blocks");
    engine->shutdown();
    holds(engine->kv_events().events.empty(), "events came after shutdown");
}
