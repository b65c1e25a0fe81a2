// KV cache defaults that an engine may bring with it.
#pragma once

#include <optional>
#include <vector>

#include "tensorrt_llm/runtime/common.h"

namespace tensorrt_llm::runtime {

struct RuntimeDefaults {
    std::optional<std::vector<SizeType32>> maxAttentionWindowVec;
    std::optional<SizeType32> sinkTokenLength;
};

}  // namespace tensorrt_llm::runtime
