// Strict parser of a profile: NAME[,key=value…].
#include "bareflight/cpp/simulated/profile.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <stdexcept>

namespace tensorrt_llm::simulation {

namespace {

constexpr double kNoLimit = 1e12;
constexpr std::int64_t kDefaultKvTokens = std::int64_t{1} << 20;

/// Values of the keys of one profile text, before those of its name are known.
struct Draft {
    Profile profile;
    Efficiency efficiency;
    std::optional<double> base_us;
    bool costs_given = false;
    bool efficiency_given = false;
    std::set<std::string> given;
};

struct Key {
    char const* name;
    bool integer;
    double least;
    double most;
    void (*set)(Draft&, double);
};

int whole(double value) { return static_cast<int>(value); }

void throw_at(Draft& draft, Call call, double number) {
    auto const index = static_cast<std::size_t>(call);
    draft.profile.behaviour.throws_at.call[index] = static_cast<std::int64_t>(number);
}

constexpr double kInt = std::numeric_limits<std::int32_t>::max();

constexpr Key kKeys[] = {
    {"base_us", false, 0, kNoLimit,
     [](Draft& d, double v) {
         d.base_us = v;
         d.costs_given = true;
     }},
    {"prefill_us_per_token", false, 0, kNoLimit,
     [](Draft& d, double v) {
         d.profile.cost.prefill_ns_per_token = v * 1000;
         d.costs_given = true;
     }},
    {"decode_us_per_sequence", false, 0, kNoLimit,
     [](Draft& d, double v) {
         d.profile.cost.decode_ns_per_sequence = v * 1000;
         d.costs_given = true;
     }},
    {"kv_ns_per_token", false, 0, kNoLimit,
     [](Draft& d, double v) {
         d.profile.cost.kv_ns_per_token = v;
         d.costs_given = true;
     }},
    {"bandwidth_efficiency", false, 0.01, 1,
     [](Draft& d, double v) {
         d.efficiency.bandwidth = v;
         d.efficiency_given = true;
     }},
    {"compute_efficiency", false, 0.01, 1,
     [](Draft& d, double v) {
         d.efficiency.compute = v;
         d.efficiency_given = true;
     }},
    {"kv_tokens", true, 1, kInt,
     [](Draft& d, double v) { d.profile.kv.tokens = static_cast<std::int64_t>(v); }},
    {"tokens_per_block", true, 1, 1024,
     [](Draft& d, double v) { d.profile.limits.tokens_per_block = whole(v); }},
    {"max_batch_size", true, 1, kInt, [](Draft& d, double v) { d.profile.limits.max_batch_size = whole(v); }},
    {"max_num_tokens", true, 1, kInt, [](Draft& d, double v) { d.profile.limits.max_num_tokens = whole(v); }},
    {"max_input_len", true, 1, kInt, [](Draft& d, double v) { d.profile.limits.max_input_len = whole(v); }},
    {"max_seq_len", true, 2, kInt, [](Draft& d, double v) { d.profile.limits.max_seq_len = whole(v); }},
    {"max_beam_width", true, 1, 1024, [](Draft& d, double v) { d.profile.limits.max_beam_width = whole(v); }},
    {"vocab", true, 2, kInt, [](Draft& d, double v) { d.profile.limits.vocab_size = whole(v); }},
    {"seed", true, 0, kInt,
     [](Draft& d, double v) { d.profile.behaviour.seed = static_cast<std::uint64_t>(v); }},
    {"draft_len", true, 0, 64, [](Draft& d, double v) { d.profile.behaviour.draft_len = whole(v); }},
    {"acceptance", false, 0, 1, [](Draft& d, double v) { d.profile.behaviour.acceptance = v; }},
    {"external_drafts", true, 0, 64,
     [](Draft& d, double v) { d.profile.behaviour.external_drafts = whole(v); }},
    {"agreement", false, 0, 1, [](Draft& d, double v) { d.profile.behaviour.agreement = v; }},
    {"eos_after", true, 0, kInt, [](Draft& d, double v) { d.profile.behaviour.eos_after = whole(v); }},
    {"stall_at_ms", false, 0, kNoLimit, [](Draft& d, double v) { d.profile.behaviour.stall_at_ms = v; }},
    {"stall_ms", false, 0, kNoLimit, [](Draft& d, double v) { d.profile.behaviour.stall_ms = v; }},
    {"load_ms", false, 0, kNoLimit, [](Draft& d, double v) { d.profile.behaviour.load_ms = v; }},
    {"fail_at_iteration", true, 0, kInt,
     [](Draft& d, double v) { d.profile.behaviour.fail_at_iteration = static_cast<std::int64_t>(v); }},
    {"throw_at_open", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kOpen, v); }},
    {"throw_at_enqueue", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kEnqueue, v); }},
    {"throw_at_await", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kAwait, v); }},
    {"throw_at_cancel", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kCancel, v); }},
    {"throw_at_statistics", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kStatistics, v); }},
    {"throw_at_kv_events", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kKvEvents, v); }},
    {"throw_at_shutdown", true, 0, kInt, [](Draft& d, double v) { throw_at(d, Call::kShutdown, v); }},
    {"hang_at_statistics", true, 0, kInt,
     [](Draft& d, double v) {
         d.profile.behaviour.throws_at.statistics_hang = static_cast<std::int64_t>(v);
     }},
    {"throw_int", true, 0, 1, [](Draft& d, double v) { d.profile.behaviour.throws_at.other_type = v != 0; }},
};

[[noreturn]] void refuse(std::string const& spec, std::string const& why) {
    throw std::runtime_error("simulated profile '" + spec + "': " + why);
}

std::string known_keys() {
    std::string names;
    for (auto const& key : kKeys) {
        names += names.empty() ? "" : ", ";
        names += key.name;
    }
    return names;
}

std::string plain(double value) {
    auto text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') {
        text.pop_back();
    }
    return text;
}

double parse_value(std::string const& spec, Key const& key, std::string const& text) {
    char* end = nullptr;
    errno = 0;
    double const value = std::strtod(text.c_str(), &end);
    bool const number = !text.empty() && *end == '\0' && errno == 0 && std::isfinite(value);
    bool const in_range = number && value >= key.least && value <= key.most;
    if (!in_range || (key.integer && value != std::floor(value))) {
        refuse(spec, std::string("the value of ") + key.name + " must be " +
                         (key.integer ? "a whole number" : "a number") + " from " + plain(key.least) +
                         (key.most == kNoLimit ? "" : " to " + plain(key.most)) + ", not '" + text + "'");
    }
    return value;
}

void apply_pair(Draft& draft, std::string const& pair) {
    auto const& spec = draft.profile.spec;
    auto const equals = pair.find('=');
    auto const name = pair.substr(0, equals);
    auto const* key = std::find_if(std::begin(kKeys), std::end(kKeys),
                                   [&](Key const& known) { return name == known.name; });
    if (key == std::end(kKeys)) {
        refuse(spec, "unknown key '" + name + "'; known keys are " + known_keys());
    }
    if (equals == std::string::npos) {
        refuse(spec, "the key " + name + " needs a value, as in " + name + "=1");
    }
    if (!draft.given.insert(name).second) {
        refuse(spec, "the key " + name + " is given twice");
    }
    key->set(draft, parse_value(spec, *key, pair.substr(equals + 1)));
}

void resolve_deployment(Draft& draft, Deployment const& deployment) {
    auto& profile = draft.profile;
    auto hardware = resolve(deployment, draft.efficiency);
    profile.kind = ProfileKind::kRoofline;
    profile.cost.roofline = hardware.roofline;
    profile.cost.base_ns = draft.base_us.value_or(hardware.base_us) * 1000;
    profile.kv.free_bytes = hardware.free_bytes_per_gpu;
    profile.kv.bytes_per_token = hardware.kv_bytes_per_token_per_gpu;
    profile.weights_bytes = hardware.weights_bytes_per_gpu;
    profile.figures = std::move(hardware.figures);
    profile.figures.push_back({"base_us", profile.cost.base_ns / 1000, "us",
                               draft.base_us ? "the profile's key" : "assumption of this simulation"});
    auto const otherwise = [&](char const* key, int& limit, int value) {
        if (draft.given.count(key) == 0) {
            limit = value;
        }
    };
    otherwise("vocab", profile.limits.vocab_size, hardware.vocab_size);
    otherwise("max_seq_len", profile.limits.max_seq_len, hardware.max_seq_len);
    otherwise("max_batch_size", profile.limits.max_batch_size, 256);
    otherwise("max_num_tokens", profile.limits.max_num_tokens, 8192);
}

void resolve_name(Draft& draft, std::string const& name) {
    auto& profile = draft.profile;
    auto const deployment = parse_deployment(name);
    if (deployment) {
        resolve_deployment(draft, *deployment);
        return;
    }
    if (name != "null" && name != "explicit") {
        refuse(profile.spec,
               "unknown name '" + name + "'; known names are null, explicit and " + deployment_names());
    }
    if (draft.efficiency_given) {
        refuse(profile.spec, "an efficiency belongs to a roofline profile such as h200-llama3-8b");
    }
    if (name == "null" && draft.costs_given) {
        refuse(profile.spec, "the profile null has no costs; use explicit to declare some");
    }
    profile.kind = name == "null" ? ProfileKind::kNull : ProfileKind::kExplicit;
    profile.cost.base_ns = draft.base_us.value_or(0) * 1000;
    profile.kv.tokens = profile.kv.tokens.value_or(kDefaultKvTokens);
}

void require_consistent(Profile const& profile) {
    if (profile.behaviour.stall_at_ms.has_value() != profile.behaviour.stall_ms.has_value()) {
        refuse(profile.spec, "stall_at_ms and stall_ms go together: give both");
    }
    if (profile.behaviour.draft_len > 0 && profile.behaviour.external_drafts > 0) {
        refuse(profile.spec,
               "an engine is built for one way of drafting: give draft_len, its own, or external_drafts");
    }
    if (profile.behaviour.eos_after && profile.behaviour.external_drafts > 0) {
        refuse(profile.spec,
               "eos_after counts the tokens of one request, and with external_drafts each is one step: leave "
               "one out");
    }
    if (profile.kv.capacity(kDefaultKvFraction) < profile.limits.tokens_per_block) {
        refuse(profile.spec, "the KV cache holds less than one block of " +
                                 std::to_string(profile.limits.tokens_per_block) +
                                 " tokens; raise kv_tokens or lower tokens_per_block");
    }
}

}  // namespace

std::int64_t KvMemory::capacity(double fraction) const {
    return tokens ? *tokens : static_cast<std::int64_t>(fraction * free_bytes / bytes_per_token);
}

Profile parse_profile(std::string const& spec) {
    Draft draft;
    draft.profile.spec = spec;
    auto const name = spec.substr(0, spec.find(','));
    for (auto from = name.size(); from < spec.size();) {
        auto const to = std::min(spec.find(',', from + 1), spec.size());
        apply_pair(draft, spec.substr(from + 1, to - from - 1));
        from = to;
    }
    resolve_name(draft, name);
    draft.profile.cost.draft_tokens = draft.profile.behaviour.draft_len;
    require_consistent(draft.profile);
    return std::move(draft.profile);
}

}  // namespace tensorrt_llm::simulation
