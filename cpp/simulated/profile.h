// Profile of the simulated executor: its limits, costs and behaviour, resolved from its text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bareflight/cpp/simulated/cost_model.h"
#include "bareflight/cpp/simulated/faults.h"
#include "bareflight/cpp/simulated/roofline.h"

namespace tensorrt_llm::simulation {

enum class ProfileKind { kNull, kExplicit, kRoofline };

/// Limits that an engine build would fix.
struct BuildLimits {
    int max_batch_size = 512;
    int max_num_tokens = 16384;
    /// Unset: what `max_seq_len` and chunked context leave.
    std::optional<int> max_input_len;
    int max_seq_len = 32768;
    int vocab_size = 32000;
    int max_beam_width = 4;
    int tokens_per_block = 32;
    /// Whether KV blocks can be used again; an engine that cannot is opened all the same.
    bool can_reuse = true;
};

/// The KV cache: a number of tokens, or the memory it may take.
struct KvMemory {
    std::optional<std::int64_t> tokens;
    double free_bytes = 0;
    double bytes_per_token = 1;

    /// Tokens that fit when the cache takes `fraction` of the free memory (no effect on a fixed number).
    std::int64_t capacity(double fraction) const;
};

/// Behaviour of the engine apart from its costs.
struct Behaviour {
    std::uint64_t seed = 0;
    int draft_len = 0;
    double acceptance = 0.7;
    /// Built to verify this many drafts of another engine; each request then takes one step.
    int external_drafts = 0;
    /// Share of tokens that agree with those of a profile of the same seed: for draft models.
    double agreement = 1;
    /// An end token follows after so many tokens, where the request has an end id.
    std::optional<int> eos_after;
    /// Milliseconds after the first request's arrival; both or neither.
    std::optional<double> stall_at_ms;
    std::optional<double> stall_ms;
    double load_ms = 0;
    std::optional<std::int64_t> fail_at_iteration;
    ThrowsAt throws_at;
};

struct Profile {
    std::string spec;
    ProfileKind kind = ProfileKind::kNull;
    BuildLimits limits;
    KvMemory kv;
    CostModel cost;
    Behaviour behaviour;
    double weights_bytes = 0;
    /// Ranks that an engine directory was built for.
    std::int32_t world_size = 1;
    std::vector<Figure> figures;
};

/// Fraction of the free memory that the KV cache takes when the settings do not say.
constexpr double kDefaultKvFraction = 0.9;

/// Throws std::runtime_error with one sentence that lists what is known.
Profile parse_profile(std::string const& spec);
/// `path` is a profile, or an engine directory whose config.json has the key `simulated_profile`.
Profile load_profile(std::string const& path);

}  // namespace tensorrt_llm::simulation
