// Cost model of one iteration: the sum of the declared costs, and the slower side of the roofline.
#include "bareflight/cpp/simulated/cost_model.h"

#include <algorithm>
#include <cmath>

namespace tensorrt_llm::simulation {

bool CostModel::free_of_charge() const {
    return base_ns == 0 && prefill_ns_per_token == 0 && decode_ns_per_sequence == 0 && kv_ns_per_token == 0 &&
           roofline.weights_ns == 0 && roofline.compute_ns_per_token == 0;
}

std::int64_t CostModel::iteration_cost_ns(IterationLoad const& load) const {
    if (load.context_tokens == 0 && load.decode_sequences == 0) {
        return 0;
    }
    auto const context = static_cast<double>(load.context_tokens);
    auto const decode = static_cast<double>(load.decode_sequences);
    auto const kv = static_cast<double>(load.kv_tokens);
    auto const computed = context + decode * static_cast<double>(1 + draft_tokens);

    auto const linear =
        base_ns + context * prefill_ns_per_token + decode * decode_ns_per_sequence + kv * kv_ns_per_token;
    auto const memory = roofline.weights_ns + kv * roofline.kv_ns_per_token;
    auto const compute = computed * roofline.compute_ns_per_token;
    auto const communication = roofline.communication_ns + computed * roofline.communication_ns_per_token;
    return std::llround(linear + std::max(memory, compute) + communication);
}

}  // namespace tensorrt_llm::simulation
