// Does what a user sets reach the executor? Settings that are simulated act, others are held to their ranges.
#include "driven.h"

using claims::contains;
using claims::holds;
using claims::same;
using claims::thrown_by;
using namespace driven;

namespace {

constexpr int kStopWords = 2;

std::unique_ptr<Engine> open_with(std::string const& profile, void (*change)(Settings&)) {
    Settings settings;
    settings.model = profile;
    change(settings);
    return bareflight::simulated::open_engine(settings);
}

}  // namespace

CLAIM("settings: a value outside its range is refused when the engine is opened") {
    contains(thrown_by([] { open_with("null", [](Settings& s) {
                                s.kv_attention_windows = {128, 0};
                            }); }),
             "maxAttentionWindowVec");
    contains(thrown_by([] { open_with("null", [](Settings& s) { s.kv_free_gpu_fraction = 1.5F; }); }),
             "freeGpuMemoryFraction");
    contains(thrown_by([] { open_with("null,max_beam_width=1", [](Settings& s) { s.max_beam_width = 2; }); }),
             "max_beam_width");
    contains(thrown_by([] {
                 open_with("null", [](Settings& s) {
                     s.decoding = bareflight::DecodingKind::Lookahead;
                     s.lookahead_window = 4;
                 });
             }),
             "lookahead");
}

CLAIM("settings: a mode that drafts wants an engine that was built for drafts") {
    auto const medusa = [](Settings& settings) {
        settings.decoding = bareflight::DecodingKind::Medusa;
        settings.draft_choices = {{0}, {0, 0}};
    };
    contains(thrown_by([&] { open_with("null", medusa); }), "draft_len");
    auto const engine = open_with("null,draft_len=2,acceptance=1", medusa);
    auto asked = head(1, 9);
    asked.perf_metrics = true;
    auto const record = run(*engine, {asked}).at(1);
    same(record.tokens.size(), 9U, "tokens");
    holds(record.deliveries < 9, "no delivery held several tokens");
    holds(record.stamps.accepted_draft_tokens > 0, "no draft was accepted");
}

CLAIM("settings: knobs that are not simulated are taken and change no token") {
    auto const knobs = open_with("null", [](Settings& settings) {
        settings.kv_attention_windows = {128, 4096};
        settings.kv_sink_tokens = 4;
        settings.kv_host_cache_bytes = 1 << 20;
        settings.cuda_graphs = true;
        settings.cuda_graph_cache_size = 8;
        settings.gpu_weights_fraction = 0.5F;
        settings.lora_max_rank = 16;
        settings.decoding = bareflight::DecodingKind::TopKTopP;
    });
    auto const plain = open("null");
    holds(run(*knobs, {head(1, 20)}).at(1).tokens == run(*plain, {head(1, 20)}).at(1).tokens,
          "the tokens differ");
}

CLAIM("settings: a stop word ends every later request and is delivered, until other words are set") {
    auto const engine = open("null");
    auto const whole = run(*engine, {head(1, 20)}).at(1).tokens;
    engine->set_words({{{whole[2], whole[3]}}, {{whole[0]}}});
    auto const stopped = run(*engine, {head(2, 20)}).at(2);
    same(stopped.tokens.size(), 4U, "tokens up to the stop word");
    same(stopped.reason, kStopWords, "finish reason");
    engine->set_words({});
    same(run(*engine, {head(3, 20)}).at(3).tokens.size(), 20U, "tokens without words");
}

CLAIM("settings: of beams, which repeat their output, only what is new is delivered") {
    auto const engine = open_with("null,max_beam_width=4", [](Settings& s) { s.max_beam_width = 4; });
    auto wide = head(1, 12);
    wide.beam_width = 4;
    auto whole = wide;
    whole.id = 2;
    whole.streaming = false;
    auto const records = run(*engine, {wide, whole, head(3, 5)});
    same(records.at(1).tokens.size(), 12U, "tokens of the stream");
    same(records.at(1).deliveries, 12, "deliveries of the stream");
    same(records.at(2).tokens.size(), 12U, "tokens of the whole output");
    same(records.at(3).tokens.size(), 5U, "tokens of the request without beams");
}

CLAIM("settings: a LoRA task is known where a folder of adapters is, and fails else") {
    auto adapted = head(1, 4);
    adapted.lora_task = 7;
    auto const bare = open("null");
    contains(run(*bare, {adapted}).at(1).error, "LoRA task 7");
    auto const engine = open_with("null", [](Settings& s) { s.lora_prefetch_dir = "adapters"; });
    auto const record = run(*engine, {adapted}).at(1);
    same(record.error, std::string(), "error");
    same(record.tokens.size(), 4U, "tokens");
}

CLAIM("settings: penalties are held to their ranges by request") {
    auto const engine = open("null");
    auto wrong = head(1, 4);
    wrong.repetition_penalty = -1;
    auto const refusals = submit(*engine, {wrong});
    same(refusals.size(), 1U, "refusals");
    contains(refusals[0].message, "repetitionPenalty");
    auto fine = head(2, 4);
    fine.repetition_penalty = 1.5F;
    fine.presence_penalty = -0.5F;
    fine.min_p = 0.1F;
    same(run(*engine, {fine}).at(2).tokens.size(), 4U, "tokens");
}
