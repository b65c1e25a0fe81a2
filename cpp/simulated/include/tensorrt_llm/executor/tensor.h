// Tensor of the executor API: shaped memory with a shared owner.
//
// The simulated executor computes nothing, so only host memory exists here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::executor {

using Shape = std::vector<std::int64_t>;

class Tensor {
  public:
    Tensor() = default;

    /// Owned, zeroed host memory for `shape` elements of `type`.
    static Tensor cpu(DataType type, Shape shape);
    /// Borrowed memory: `data` must outlive the tensor.
    static Tensor of(DataType type, void* data, Shape shape);

    void* getData() { return mData.get(); }
    void const* getData() const { return mData.get(); }
    DataType getDataType() const { return mType; }
    MemoryType getMemoryType() const { return MemoryType::kCPU; }
    Shape const& getShape() const { return mShape; }
    /// Elements, not bytes.
    std::size_t getSize() const;
    std::size_t getSizeInBytes() const;
    explicit operator bool() const { return mData != nullptr; }

  private:
    std::shared_ptr<void> mData;
    DataType mType = DataType::kFP32;
    Shape mShape;
};

}  // namespace tensorrt_llm::executor
