// Integer types that the executor API's aliases are made of.
#pragma once

#include <cstdint>
#include <vector>

namespace tensorrt_llm::mpi {
class MpiComm;
}  // namespace tensorrt_llm::mpi

namespace tensorrt_llm::runtime {

using SizeType32 = std::int32_t;
using TokenIdType = std::int32_t;
using TokenExtraIdType = std::uint64_t;
using LoraTaskIdType = std::uint64_t;

/// A token as the KV cache distinguishes it: virtual tokens of different prompts have different extra
/// ids.
struct UniqueToken {
    TokenIdType tokenId;
    TokenExtraIdType tokenExtraId;
};
using VecUniqueTokens = std::vector<UniqueToken>;

class CudaStream;

}  // namespace tensorrt_llm::runtime
