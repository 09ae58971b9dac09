#include "engine/shape.h"

namespace qmse {

Shape::Shape(std::span<const std::int64_t> sizes) {
  if (sizes.size() > kMaxDimensions) {
    throw ShapeError("a tensor has at most " + std::to_string(kMaxDimensions) + " dimensions, not " +
                     std::to_string(sizes.size()));
  }
  for (const std::int64_t size : sizes) {
    if (size < 0) throw ShapeError("a tensor's size cannot be negative: " + std::to_string(size));
    sizes_[static_cast<std::size_t>(dimensions_++)] = size;
  }
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) {
    if (__builtin_mul_overflow(product, size, &product) || product > kMaxCount) {
      throw ShapeError("a tensor of shape " + to_string(*this) + " is larger than any memory");
    }
  }
}

std::int64_t Shape::count() const {
  std::int64_t product = 1;
  for (const std::int64_t size : sizes()) product *= size;
  return product;
}

Shape Shape::with_batch(std::int64_t n) const {
  std::array<std::int64_t, kMaxDimensions + 1> sizes{n};
  for (int i = 0; i < dimensions_; ++i) sizes[static_cast<std::size_t>(i) + 1] = (*this)[i];
  return Shape(std::span<const std::int64_t>(sizes.data(), static_cast<std::size_t>(dimensions_) + 1));
}

Shape Shape::without_batch() const {
  if (dimensions_ == 0) throw ShapeError("a tensor without dimensions has no batch");
  return Shape(sizes().subspan(1));
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.dimensions(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace qmse
