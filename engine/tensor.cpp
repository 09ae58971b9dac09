#include "engine/tensor.h"

namespace qmse {

Tensor::Tensor(Context& context, DType dtype, const Shape& shape, const std::string& name)
    : context_(&context),
      dtype_(dtype),
      shape_(shape),
      name_(name),
      buffer_(context.memory(), static_cast<std::size_t>(shape.count()) * size_of(dtype), name) {}

void Tensor::require(DType dtype) const {
  if (dtype != dtype_) {
    throw ShapeError("tensor '" + name_ + "' holds " + std::string(name(dtype_)) + ", not " +
                     std::string(name(dtype)));
  }
}

void Tensor::require_count(std::size_t count) const {
  if (static_cast<std::int64_t>(count) != shape_.count()) {
    throw ShapeError("tensor '" + name_ + "' of shape " + to_string(shape_) + " cannot take " +
                     std::to_string(count) + " values");
  }
}

}  // namespace qmse
