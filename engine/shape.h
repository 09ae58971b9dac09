// The sizes of a tensor, outermost first. At most five dimensions; holds no heap memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/error.h"

namespace qmse {

class Shape {
 public:
  static constexpr int kMaxDimensions = 5;
  // More elements than any machine holds, and few enough that sums of tensors' bytes do not overflow.
  static constexpr std::int64_t kMaxCount = std::int64_t{1} << 50;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  // Throws ShapeError for a negative size, more than kMaxDimensions or more than kMaxCount elements.
  explicit Shape(std::span<const std::int64_t> sizes);

  int dimensions() const { return dimensions_; }
  std::int64_t operator[](int index) const { return sizes_[static_cast<std::size_t>(index)]; }
  std::span<const std::int64_t> sizes() const {
    return {sizes_.data(), static_cast<std::size_t>(dimensions_)};
  }
  std::int64_t count() const;              // product of the sizes; 1 for no dimensions
  Shape with_batch(std::int64_t n) const;  // [n, sizes...]
  Shape without_batch() const;             // all but the first

  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, kMaxDimensions> sizes_{};
  int dimensions_ = 0;
};

std::string to_string(const Shape& shape);  // "[64, 1, 28, 28]"

}  // namespace qmse
