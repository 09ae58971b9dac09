// The parameters of a model in one flat buffer per kind: weights,
// gradients, and whatever the optimizer keeps.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/choice.h"
#include "engine/context.h"
#include "engine/dtype.h"
#include "engine/shape.h"

namespace qmse {

enum class Initialization {
  pytorch,         // weights and biases uniform in +-1/sqrt(fan_in): PyTorch's default for Conv2d and Linear
  kaiming_normal,  // weights normal, variance 2/fan_in (He et al. 2015); biases zero
  xavier_uniform,  // weights uniform in +-sqrt(6/(fan_in + fan_out)) (Glorot, Bengio 2010); biases zero
};
constexpr std::array<Choice<Initialization>, 3> choices(Initialization) {
  return {{{Initialization::pytorch, "pytorch"},
           {Initialization::kaiming_normal, "kaiming_normal"},
           {Initialization::xavier_uniform, "xavier_uniform"}}};
}

// What a layer asks for.
struct ParameterSpec {
  std::string name;  // "conv1.weight"
  Shape shape;
  std::int64_t fan_in = 1;
  std::int64_t fan_out = 1;
  bool is_bias = false;
};

// Each parameter is a view into the flat buffers, its start aligned to 64 bytes; the padding between views is
// zero and stays zero under any element-wise optimizer.
class ParameterStore {
 public:
  // Weights and gradients start at zero. Throws std::logic_error where two parameters share a name.
  ParameterStore(Context& context, DType dtype, std::vector<ParameterSpec> specs);

  // Draws the weights: value i of parameter p is a function of (seed, p, i) alone, computed in f32, so that
  // every dtype, backend and batch size starts from the same numbers.
  void initialize(Initialization scheme, std::uint64_t seed);

  Context& context() const { return *context_; }
  DType dtype() const { return dtype_; }
  std::size_t size() const { return specs_.size(); }
  const ParameterSpec& spec(std::size_t index) const { return specs_[index]; }
  // Throws std::logic_error, which lists the names, where there is none of this name.
  std::size_t index_of(const std::string& name) const;
  std::int64_t parameter_count() const;  // without padding

  std::int64_t flat_size() const { return flat_size_; }  // elements, padding included
  std::int64_t offset(std::size_t index) const { return offsets_[index]; }
  void* weights() const { return weights_.data(); }
  void* gradients() const { return gradients_.data(); }
  void* weights(std::size_t index) const { return at(weights_, index); }
  void* gradients(std::size_t index) const { return at(gradients_, index); }

  // One parameter's elements from, or into, a flat buffer laid out as the weights are (weights(),
  // gradients(), an optimizer's state). T must be the store's dtype.
  template <class T>
  std::vector<T> read(const void* flat, std::size_t index) const;
  template <class T>
  void write(void* flat, std::size_t index, std::span<const T> values);

 private:
  void* at(const Buffer& buffer, std::size_t index) const {
    return static_cast<std::byte*>(buffer.data()) +
           static_cast<std::size_t>(offsets_[index]) * size_of(dtype_);
  }

  Context* context_;
  DType dtype_;
  std::vector<ParameterSpec> specs_;
  std::vector<std::int64_t> offsets_;
  std::int64_t flat_size_ = 0;
  Buffer weights_;
  Buffer gradients_;
};

}  // namespace qmse
