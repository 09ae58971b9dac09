// A tensor that owns its memory on one context.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/dtype.h"
#include "engine/shape.h"

namespace qmse {

// Contiguous, row-major; contents undefined until written. Move-only; must not outlive its context.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Context& context, DType dtype, const Shape& shape, const std::string& name);

  // A tensor with these host values.
  template <class T>
  static Tensor from_host(Context& context, const Shape& shape, std::span<const T> values,
                          const std::string& name) {
    Tensor tensor(context, dtype_of<T>(), shape, name);
    tensor.write(values);
    return tensor;
  }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  void* data() const { return buffer_.data(); }
  template <class T>
  T* as() const {
    require(dtype_of<T>());
    return buffer_.as<T>();
  }

  // Copies between the device and the host; sizes and types must match exactly (ShapeError).
  template <class T>
  void write(std::span<const T> values) {
    require(dtype_of<T>());
    require_count(values.size());
    host_to_device(*context_, data(), values.data(), values.size_bytes());
  }
  template <class T>
  std::vector<T> read() const {
    require(dtype_of<T>());
    std::vector<T> values(static_cast<std::size_t>(shape_.count()));
    device_to_host(*context_, values.data(), data(), values.size() * sizeof(T));
    return values;
  }

 private:
  void require(DType dtype) const;
  void require_count(std::size_t count) const;

  Context* context_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
  std::string name_;
  Buffer buffer_;
};

}  // namespace qmse
