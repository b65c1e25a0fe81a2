// Size and ownership of a tensor's memory.
#include "tensorrt_llm/executor/tensor.h"

#include <new>
#include <stdexcept>

namespace tensorrt_llm::executor {

namespace {

std::size_t bytesOf(DataType type) {
    switch (type) {
        case DataType::kBOOL:
        case DataType::kUINT8:
        case DataType::kINT8:
        case DataType::kFP8:
            return 1;
        case DataType::kBF16:
        case DataType::kFP16:
            return 2;
        case DataType::kINT32:
        case DataType::kFP32:
            return 4;
        case DataType::kINT64:
            return 8;
        case DataType::kUNKNOWN:
            break;
    }
    throw std::invalid_argument("a tensor needs a known data type");
}

}  // namespace

Tensor Tensor::cpu(DataType type, Shape shape) {
    Tensor tensor = of(type, nullptr, std::move(shape));
    tensor.mData = std::shared_ptr<unsigned char[]>(new unsigned char[tensor.getSizeInBytes()]());
    return tensor;
}

Tensor Tensor::of(DataType type, void* data, Shape shape) {
    Tensor tensor;
    tensor.mType = type;
    tensor.mShape = std::move(shape);
    tensor.mData = std::shared_ptr<void>(data, [](void*) {});
    return tensor;
}

std::size_t Tensor::getSize() const {
    std::size_t elements = mShape.empty() ? 0 : 1;
    for (auto const extent : mShape) {
        elements *= static_cast<std::size_t>(extent);
    }
    return elements;
}

std::size_t Tensor::getSizeInBytes() const { return getSize() * bytesOf(mType); }

}  // namespace tensorrt_llm::executor
