// Small JSON reader, enough for an engine's config.json.
#pragma once

#include <map>
#include <string>

namespace tensorrt_llm::simulation {

/// Every scalar of `text` by its path (`build_config.max_batch_size`); strings unescaped, other scalars as
/// written. Elements of arrays are read over. Throws std::runtime_error on malformed text, naming the offset.
std::map<std::string, std::string> read_json_scalars(std::string const& text);

}  // namespace tensorrt_llm::simulation
