// Description of a profile as JSON.
#include "bareflight/cpp/simulated/describe.h"

#include <cstdio>

#include "bareflight/cpp/simulated/limits.h"
#include "bareflight/cpp/simulated/pacer.h"
#include "bareflight/cpp/simulated/profile.h"

namespace tensorrt_llm::simulation {

namespace {

std::string quoted(std::string const& text) {
    std::string out = "\"";
    for (char const c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string number(double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.12g", value);
    return text;
}

template <typename Value>
std::string number_or_null(std::optional<Value> const& value) {
    return value ? number(static_cast<double>(*value)) : "null";
}

std::string pair(char const* key, std::string const& value) {
    return std::string(",\"") + key + "\":" + value;
}

std::string object(std::string const& pairs) { return "{" + pairs.substr(1) + "}"; }

char const* name_of(ProfileKind kind) {
    switch (kind) {
        case ProfileKind::kNull:
            return "null";
        case ProfileKind::kExplicit:
            return "explicit";
        case ProfileKind::kRoofline:
            return "roofline";
    }
    return "unknown";
}

/// As an executor with default settings has them.
std::string limits_of(Profile const& profile) {
    auto const limits = resolve_limits(profile, executor::ExecutorConfig());
    return object(pair("max_batch_size", std::to_string(limits.max_batch_size)) +
                  pair("max_num_tokens", std::to_string(limits.max_num_tokens)) +
                  pair("max_input_len", std::to_string(limits.max_input_len)) +
                  pair("max_seq_len", std::to_string(limits.max_seq_len)) +
                  pair("vocab_size", std::to_string(limits.vocab_size)) +
                  pair("max_beam_width", std::to_string(profile.limits.max_beam_width)) +
                  pair("tokens_per_block", std::to_string(limits.tokens_per_block)) +
                  pair("kv_blocks", std::to_string(limits.kv_blocks)));
}

std::string costs_of(CostModel const& cost) {
    auto const& roofline = cost.roofline;
    return object(pair("base_us", number(cost.base_ns / 1000)) +
                  pair("prefill_us_per_token", number(cost.prefill_ns_per_token / 1000)) +
                  pair("decode_us_per_sequence", number(cost.decode_ns_per_sequence / 1000)) +
                  pair("kv_ns_per_token", number(cost.kv_ns_per_token)) +
                  pair("roofline_weights_us", number(roofline.weights_ns / 1000)) +
                  pair("roofline_kv_ns_per_token", number(roofline.kv_ns_per_token)) +
                  pair("roofline_compute_ns_per_token", number(roofline.compute_ns_per_token)) +
                  pair("roofline_communication_us", number(roofline.communication_ns / 1000)) +
                  pair("roofline_communication_ns_per_token", number(roofline.communication_ns_per_token)));
}

std::string throws_of(ThrowsAt const& at) {
    std::string list = "[";
    for (auto const call : at.call) {
        list += (list.size() > 1 ? "," : "") + std::to_string(call);
    }
    return list + "]";
}

std::string behaviour_of(Behaviour const& behaviour) {
    return object(pair("seed", std::to_string(behaviour.seed)) +
                  pair("draft_len", std::to_string(behaviour.draft_len)) +
                  pair("acceptance", number(behaviour.acceptance)) +
                  pair("external_drafts", std::to_string(behaviour.external_drafts)) +
                  pair("agreement", number(behaviour.agreement)) +
                  pair("eos_after", number_or_null(behaviour.eos_after)) +
                  pair("stall_at_ms", number_or_null(behaviour.stall_at_ms)) +
                  pair("stall_ms", number_or_null(behaviour.stall_ms)) +
                  pair("load_ms", number(behaviour.load_ms)) +
                  pair("fail_at_iteration", number_or_null(behaviour.fail_at_iteration)) +
                  pair("throws_at_call", throws_of(behaviour.throws_at)) +
                  pair("hangs_at_statistics_call", std::to_string(behaviour.throws_at.statistics_hang)) +
                  pair("throws_int", behaviour.throws_at.other_type ? "true" : "false") +
                  pair("spin_us", std::to_string(kSpin.count())) +
                  pair("longest_catch_up_ms", std::to_string(kLongestCatchUp.count())));
}

std::string figures_of(Profile const& profile) {
    std::string list = "[";
    for (auto const& figure : profile.figures) {
        list += list.size() > 1 ? "," : "";
        list += object(pair("name", quoted(figure.name)) + pair("value", number(figure.value)) +
                       pair("unit", quoted(figure.unit)) + pair("source", quoted(figure.source)));
    }
    return list + "]";
}

}  // namespace

std::string describe(std::string const& model) {
    auto const profile = load_profile(model);
    return object(pair("profile", quoted(profile.spec)) + pair("kind", quoted(name_of(profile.kind))) +
                  pair("simulated", "true") + pair("limits", limits_of(profile)) +
                  pair("costs", costs_of(profile.cost)) + pair("behaviour", behaviour_of(profile.behaviour)) +
                  pair("figures", figures_of(profile)) +
                  pair("not_simulated",
                       "[\"partial block reuse\",\"KV offload to host memory\","
                       "\"bad words\",\"guided decoding\",\"CUDA graphs\",\"attention windows\","
                       "\"sink tokens\",\"sizes of the LoRA cache\",\"weights left on the host\","
                       "\"sampling\",\"attention's quadratic arithmetic\"]"));
}

}  // namespace tensorrt_llm::simulation
