// Check of the loaded library: it is the one that the headers belong to, and it is ready.
//
// A constructor whose parameters changed has another symbol; a struct whose members changed has not, and
// would be read wrongly without any error. So the version is compared before anything else is called. Then
// the statistics, the struct that changes most often, are written by us and read by the library: both must
// agree on them.
#include "bareflight/cpp/library.h"

#include <array>
#include <cstddef>
#include <stdexcept>

#include "tensorrt_llm/executor/executor.h"

#ifndef BAREFLIGHT_HEADERS_VERSION
#error "build/trtllm.rs says the version of the headers"
#endif

extern "C" bool initTrtLlmPlugins(void* logger, char const* libNamespace);

namespace bareflight::trtllm {

namespace tle = tensorrt_llm::executor;

namespace {

/// A struct that the library may believe to be longer; what it reads there is 0.
template <typename Struct>
struct Roomy {
    Struct value{};
    std::array<std::byte, 512> more{};
};

/// Whether two texts mean one version; what follows a `+` says which build it is, where only one has it.
bool same_version(std::string const& one, std::string const& other) {
    auto const release = [](std::string const& version) { return version.substr(0, version.find('+')); };
    return one == other || release(one) == other || one == release(other);
}

void require(bool same, char const* name, std::size_t size) {
    if (!same) {
        throw std::runtime_error(
            std::string("the TensorRT-LLM library says it is ") + tle::version() + ", as its headers do (" +
            BAREFLIGHT_HEADERS_VERSION + "), but lays executor::" + name +
            " out differently; with the headers it has " + std::to_string(size) +
            " bytes: rebuild with TRTLLM_ROOT set to the installation that the library is from");
    }
}

/// Members from the first to the last; whatever is inserted before one of them moves it.
void check_iteration_stats() {
    Roomy<tle::IterationStats> roomy;
    auto& stats = roomy.value;
    stats.iter = 700001;
    stats.numActiveRequests = 700002;
    stats.pinnedMemUsage = 700003;
    stats.kvCacheStats.emplace();
    stats.kvCacheStats->usedNumBlocks = 700004;
    stats.inflightBatchingStats.emplace();
    stats.inflightBatchingStats->numScheduledRequests = 700005;
    stats.inflightBatchingStats->numCtxTokens = 700006;
    auto const json = tle::JsonSerialization::toJsonStr(stats);
    bool same = true;
    for (auto const* member :
         {"\"iter\":700001", "\"numActiveRequests\":700002", "\"pinnedMemUsage\":700003",
          "\"usedNumBlocks\":700004", "\"numScheduledRequests\":700005", "\"numCtxTokens\":700006"}) {
        same = same && json.find(member) != std::string::npos;
    }
    require(same, "IterationStats", sizeof(tle::IterationStats));
}

}  // namespace

std::string library_version() {
    static std::string const version = [] {
        std::string const library = tle::version();
        if (!same_version(library, BAREFLIGHT_HEADERS_VERSION)) {
            throw std::runtime_error(
                "the TensorRT-LLM library that was loaded is version " + library +
                ", but this program was compiled against the headers of " + BAREFLIGHT_HEADERS_VERSION +
                ": rebuild it against the installation of that library, or let LD_LIBRARY_PATH "
                "lead to the library of the headers' version");
        }
        check_iteration_stats();
        return library;
    }();
    return version;
}

void load_plugins() {
    static bool const loaded = initTrtLlmPlugins(nullptr, "tensorrt_llm");
    if (!loaded) {
        throw std::runtime_error(
            "the plugins of TensorRT-LLM could not be registered (initTrtLlmPlugins): the installation's "
            "libnvinfer_plugin_tensorrt_llm.so does not fit its TensorRT");
    }
}

}  // namespace bareflight::trtllm
