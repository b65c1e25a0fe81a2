// Check of the loaded library: it is the one that the headers belong to, and it is ready.
#pragma once

#include <string>

namespace bareflight::trtllm {

/// The library's version. Throws std::runtime_error, with both versions in the message, when it
/// is not that of the headers, or when it lays a struct out differently.
std::string library_version();

/// Registers the plugins that engines are built with, once. Throws std::runtime_error when the plugin library
/// refuses.
void load_plugins();

}  // namespace bareflight::trtllm
