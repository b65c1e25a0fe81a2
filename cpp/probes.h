// Compile-time probes for members that not every release of the library has, so that one source fits all.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bareflight::probes {

/// `Has##Name<T>` is true where `expression`, in terms of a `T& t`, compiles.
#define BAREFLIGHT_PROBE(Name, expression) \
    template <typename T, typename = void> \
    struct Has##Name : std::false_type {}; \
    template <typename T>                  \
    struct Has##Name<T, std::void_t<decltype(std::declval<T&>().expression)>> : std::true_type {}

BAREFLIGHT_PROBE(Seed, setSeed(std::uint64_t{}));
BAREFLIGHT_PROBE(RandomSeed, setRandomSeed(std::uint64_t{}));
BAREFLIGHT_PROBE(MinTokens, setMinTokens(std::int32_t{}));
BAREFLIGHT_PROBE(MinLength, setMinLength(std::int32_t{}));
BAREFLIGHT_PROBE(AllottedTime, setAllottedTimeMs(std::chrono::milliseconds{}));
BAREFLIGHT_PROBE(ReturnPerfMetrics, returnPerfMetrics);
BAREFLIGHT_PROBE(PerfMetrics, requestPerfMetrics);
BAREFLIGHT_PROBE(Speculation, speculativeDecoding);
BAREFLIGHT_PROBE(MissedBlocks, kvCacheMetrics.numMissedBlocks);
BAREFLIGHT_PROBE(Iterations, firstIter);
BAREFLIGHT_PROBE(PartialReuse, setEnablePartialReuse(true));
BAREFLIGHT_PROBE(CudaGraphs, setCudaGraphMode(true));
BAREFLIGHT_PROBE(MinP, setMinP(std::optional<float>{}));
BAREFLIGHT_PROBE(AttentionWindows, setMaxAttentionWindowVec(std::vector<std::int32_t>{}));
BAREFLIGHT_PROBE(SinkTokens, setSinkTokenLength(std::int32_t{}));
BAREFLIGHT_PROBE(EventBuffer, setEventBufferMaxSize(std::size_t{}));

BAREFLIGHT_PROBE(EagleMode, Eagle());

#undef BAREFLIGHT_PROBE

/// True where the library defines `T` and does not only leave us its name.
template <typename T, typename = void>
struct IsDefined : std::false_type {};
template <typename T>
struct IsDefined<T, std::void_t<decltype(sizeof(T))>> : std::true_type {};

/// For a setting that this library's release does not have: refuses to run without it.
[[noreturn]] inline void refuse_unknown(char const* name) {
    throw std::invalid_argument(std::string("this release of the library has no setting for ") + name +
                                ": leave it out");
}

}  // namespace bareflight::probes
