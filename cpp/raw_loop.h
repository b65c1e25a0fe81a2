// Closed loop on the executor without a bridge, the baseline of the bridge's benchmark.
#pragma once

#include <cstdint>

#include "bareflight/cpp/engine.h"

namespace bareflight::simulated {

/// A closed loop in C++ alone over the simulated executor: `concurrency` requests in flight until `requests`
/// have finished. Requests are made as the bridge makes them: streaming, no performance metrics. Throws at
/// the first error response, and std::invalid_argument when a count is 0.
RawLoop run_raw_loop(Settings const& settings, std::uint64_t requests, std::uint32_t concurrency,
                     std::uint32_t prompt_len, std::int32_t max_tokens);

}  // namespace bareflight::simulated
