// Adaptors between Rust's strings and slices and an engine's calls; no decisions are made here.
#include "bareflight/cpp/bridge.h"

#include <chrono>
#include <stdexcept>

#include "bareflight/cpp/engine.h"
#include "bareflight/cpp/library.h"
#include "bareflight/cpp/raw_loop.h"
#include "bareflight/cpp/simulated/describe.h"
#include "bareflight/ffi/bridge.rs.h"

namespace bareflight {

namespace {

/// The text of a library, which need not be valid UTF-8.
rust::String lossy(std::string const& text) { return rust::String::lossy(text); }

/// Throws std::out_of_range when a sequence is empty or ends outside its tokens.
template <typename List>
List list_of(Sequences const& sequences) {
    List list;
    std::uint32_t from = 0;
    for (auto const end : sequences.ends) {
        if (end <= from || end > sequences.tokens.size()) {
            throw std::out_of_range("a sequence of tokens from " + std::to_string(from) + " to " +
                                    std::to_string(end) + " is empty or outside a buffer of " +
                                    std::to_string(sequences.tokens.size()));
        }
        list.emplace_back(sequences.tokens.begin() + from, sequences.tokens.begin() + end);
        from = end;
    }
    return list;
}

Settings settings_of(EngineConfig const& config) {
    Settings settings;
    settings.model = std::string(config.model);
    settings.max_batch_size = config.max_batch_size;
    settings.max_num_tokens = config.max_num_tokens;
    settings.max_queue_size = config.max_queue_size;
    settings.max_beam_width = config.max_beam_width;
    settings.capacity_policy = config.capacity_policy;
    settings.chunking_policy = config.chunking_policy;
    settings.enable_chunked_context = config.enable_chunked_context;
    settings.kv_block_reuse = config.kv_block_reuse;
    settings.kv_partial_reuse = config.kv_partial_reuse;
    settings.kv_max_tokens = config.kv_max_tokens;
    settings.kv_free_gpu_fraction = config.kv_free_gpu_fraction;
    settings.kv_host_cache_bytes = config.kv_host_cache_bytes;
    settings.kv_attention_windows.assign(config.kv_attention_windows.begin(),
                                         config.kv_attention_windows.end());
    settings.kv_sink_tokens = config.kv_sink_tokens;
    settings.kv_event_buffer = config.kv_event_buffer;
    settings.iteration_stats_ring = config.iteration_stats_ring;
    settings.cuda_graphs = config.cuda_graphs;
    settings.cuda_graph_cache_size = config.cuda_graph_cache_size;
    settings.multi_block_mode = config.multi_block_mode;
    settings.gpu_weights_fraction = config.gpu_weights_fraction;
    settings.device_ids.assign(config.device_ids.begin(), config.device_ids.end());
    settings.decoding = config.decoding;
    settings.lookahead_window = config.lookahead_window;
    settings.lookahead_ngram = config.lookahead_ngram;
    settings.lookahead_verification = config.lookahead_verification;
    settings.draft_choices = list_of<std::vector<std::vector<std::int32_t>>>(config.draft_choices);
    settings.lora_host_cache_bytes = config.lora_host_cache_bytes;
    settings.lora_device_cache_fraction = config.lora_device_cache_fraction;
    settings.lora_max_rank = config.lora_max_rank;
    settings.lora_prefetch_dir = std::string(config.lora_prefetch_dir);
    settings.orchestrator_worker = std::string(config.orchestrator_worker);
    return settings;
}

}  // namespace

EngineHandle::EngineHandle(std::unique_ptr<Engine> engine) : mEngine(std::move(engine)) {}
EngineHandle::~EngineHandle() = default;

rust::String EngineHandle::version() const { return lossy(mEngine->version()); }

rust::Vec<Rejection> EngineHandle::submit(rust::Slice<RequestHead const> heads,
                                          rust::Slice<std::int32_t const> prompt_tokens) const {
    std::vector<Refusal> refusals;
    mEngine->submit(heads.data(), heads.size(), prompt_tokens.data(), prompt_tokens.size(), refusals);
    rust::Vec<Rejection> rejections;
    for (auto const& refusal : refusals) {
        rejections.push_back(Rejection{refusal.id, refusal.kind, lossy(refusal.message)});
    }
    return rejections;
}

void EngineHandle::set_words(Sequences const& stop, Sequences const& bad) const {
    using List = std::list<std::vector<std::int32_t>>;
    mEngine->set_words({list_of<List>(stop), list_of<List>(bad)});
}

void EngineHandle::cancel(std::uint64_t id) const { mEngine->cancel(id); }

rust::Vec<rust::String> EngineHandle::iteration_stats() const {
    rust::Vec<rust::String> lines;
    for (auto const& line : mEngine->iteration_stats()) {
        lines.push_back(lossy(line));
    }
    return lines;
}

KvEvents EngineHandle::kv_events() const {
    auto const batch = mEngine->kv_events();
    KvEvents events;
    events.events.reserve(batch.events.size());
    for (auto const& event : batch.events) {
        events.events.push_back(event);
    }
    events.numbers.reserve(batch.numbers.size());
    for (auto const number : batch.numbers) {
        events.numbers.push_back(number);
    }
    return events;
}

void EngineHandle::shutdown() const { mEngine->shutdown(); }

Pump::Pump(std::shared_ptr<EngineHandle> engine)
    : mEngine(std::move(engine)), mBatch(std::make_unique<Batch>()) {}
Pump::~Pump() = default;

std::size_t Pump::poll(std::uint32_t timeout_us) {
    mEngine->engine().poll(std::chrono::microseconds(timeout_us), *mBatch);
    return mBatch->deliveries.size();
}

rust::Slice<Delivery const> Pump::deliveries() const {
    return {mBatch->deliveries.data(), mBatch->deliveries.size()};
}

rust::Slice<std::int32_t const> Pump::tokens() const {
    return {mBatch->tokens.data(), mBatch->tokens.size()};
}

rust::Slice<Ending const> Pump::endings() const { return {mBatch->endings.data(), mBatch->endings.size()}; }

rust::Str Pump::error(std::int32_t index) const {
    if (index < 0 || static_cast<std::size_t>(index) >= mBatch->errors.size()) {
        throw std::out_of_range("there is no error " + std::to_string(index) + " in this poll's " +
                                std::to_string(mBatch->errors.size()));
    }
    return mBatch->errors[static_cast<std::size_t>(index)];
}

std::shared_ptr<EngineHandle> open_simulated(EngineConfig const& config) {
    return std::make_shared<EngineHandle>(simulated::open_engine(settings_of(config)));
}

rust::String describe_simulated(rust::Str profile) {
    return lossy(tensorrt_llm::simulation::describe(std::string(profile)));
}

#ifdef BAREFLIGHT_TRTLLM
std::shared_ptr<EngineHandle> open_trtllm(EngineConfig const& config) {
    trtllm::library_version();
    trtllm::load_plugins();
    return std::make_shared<EngineHandle>(trtllm::open_engine(settings_of(config)));
}

void run_worker_rank_trtllm(EngineConfig const& config) {
    trtllm::library_version();
    trtllm::load_plugins();
    trtllm::run_worker_rank(settings_of(config));
}

rust::String trtllm_version() { return lossy(trtllm::library_version()); }
#endif

std::unique_ptr<Pump> new_pump(std::shared_ptr<EngineHandle> const& engine) {
    return std::make_unique<Pump>(engine);
}

RawLoop raw_loop_simulated(EngineConfig const& config, std::uint64_t requests, std::uint32_t concurrency,
                           std::uint32_t prompt_len, std::int32_t max_tokens) {
    return simulated::run_raw_loop(settings_of(config), requests, concurrency, prompt_len, max_tokens);
}

}  // namespace bareflight
