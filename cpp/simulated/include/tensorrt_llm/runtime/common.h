// Which integer widths does the executor API use below its own aliases?
#pragma once

#include <cstdint>

namespace tensorrt_llm::mpi {
class MpiComm;
}  // namespace tensorrt_llm::mpi

namespace tensorrt_llm::runtime {

using SizeType32 = std::int32_t;
using TokenIdType = std::int32_t;

class CudaStream;

}  // namespace tensorrt_llm::runtime
