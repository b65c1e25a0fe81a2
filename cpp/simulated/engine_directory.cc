// Profile name of a model path: the path itself, or the config.json of the directory that it names.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "bareflight/cpp/simulated/json_reader.h"
#include "bareflight/cpp/simulated/profile.h"

namespace tensorrt_llm::simulation {

namespace {

std::map<std::string, std::string> read_config(std::filesystem::path const& file) {
    std::ifstream in(file);
    if (!in) {
        throw std::runtime_error("the engine directory has no readable " + file.string());
    }
    std::ostringstream text;
    text << in.rdbuf();
    try {
        return read_json_scalars(text.str());
    } catch (std::runtime_error const& error) {
        throw std::runtime_error(file.string() + ": " + error.what());
    }
}

/// A build limit of the directory counts unless the profile's own text sets it.
void append_limit(std::map<std::string, std::string> const& config, char const* key, std::string& spec) {
    auto const limit = config.find(std::string("build_config.") + key);
    bool const given = spec.find(std::string(",") + key + "=") != std::string::npos;
    if (limit != config.end() && limit->second != "null" && !given) {
        spec += std::string(",") + key + "=" + limit->second;
    }
}

/// `SpeculativeDecodingMode.DRAFT_TOKENS_EXTERNAL` of trtllm-build.
constexpr char const* kDraftTokensExternal = "2";

/// An engine that was built to verify drafts from outside, up to `max_draft_len`.
void append_external_drafts(std::map<std::string, std::string> const& config, std::string& spec) {
    auto const mode = config.find("build_config.speculative_decoding_mode");
    auto const most = config.find("build_config.max_draft_len");
    if (mode != config.end() && mode->second == kDraftTokensExternal && most != config.end()) {
        spec += ",external_drafts=" + most->second;
    }
}

/// As in the original, reuse is switched off without a word for an engine that returns context logits, and
/// for one without paged context attention.
bool can_reuse(std::map<std::string, std::string> const& config) {
    auto const is = [&](char const* key, char const* value) {
        auto const found = config.find(std::string("build_config.") + key);
        return found != config.end() && found->second == value;
    };
    return !is("gather_context_logits", "true") && !is("plugin_config.use_paged_context_fmha", "false");
}

std::int32_t world_size_of(std::map<std::string, std::string> const& config) {
    std::int32_t size = 1;
    for (auto const* key : {"tp_size", "pp_size", "cp_size"}) {
        auto const found = config.find(std::string("pretrained_config.mapping.") + key);
        size *= found == config.end() ? 1 : std::stoi(found->second);
    }
    return size;
}

}  // namespace

Profile load_profile(std::string const& path) {
    if (!std::filesystem::is_directory(path)) {
        return parse_profile(path);
    }
    auto const file = std::filesystem::path(path) / "config.json";
    auto const config = read_config(file);
    auto const named = config.find("simulated_profile");
    if (named == config.end()) {
        throw std::runtime_error(file.string() +
                                 " has no key \"simulated_profile\": it is not an engine of the simulated "
                                 "executor");
    }
    auto spec = named->second;
    for (auto const* key :
         {"max_batch_size", "max_num_tokens", "max_input_len", "max_seq_len", "max_beam_width"}) {
        append_limit(config, key, spec);
    }
    append_external_drafts(config, spec);
    auto profile = parse_profile(spec);
    profile.world_size = world_size_of(config);
    profile.limits.can_reuse = can_reuse(config);
    return profile;
}

}  // namespace tensorrt_llm::simulation
