// A fully connected layer of few outputs and a batch of at most some hundred rows, as the last of a network
// is, by two kernels of our own on the GPU: a matrix product of this shape is too small for a library's,
// which takes two kernels and more for each of its three. y = activation(x wT + b); every sum runs in an
// order fixed by the shape. C++17: included by device code.
#pragma once

#include <cstdint>

#include "device/context.h"
#include "kernels/bias_activation/activation.h"

namespace qmse {

struct NarrowLinearShape {
  std::int64_t batch = 0, in_features = 0, out_features = 0;
  Activation activation = Activation::identity;
};

inline constexpr std::int64_t kMaxNarrowOutputs = 16;
inline constexpr std::int64_t kMaxNarrowBatch =
    512;  // the gradient of weights goes through it within one block
inline constexpr std::int64_t kMaxNarrowInputs = 4096;  // a warp goes through a row's alone
inline bool has_narrow_linear(const NarrowLinearShape& s) {
  return s.out_features <= kMaxNarrowOutputs && s.batch <= kMaxNarrowBatch &&
         s.in_features <= kMaxNarrowInputs;
}

// x [N, I], w [O, I], bias [O] or null -> y [N, O].
template <class Gpu>
void narrow_linear_forward(Gpu&, const NarrowLinearShape&, const float* x, const float* w, const float* bias,
                           float* y);

// From y and dy [N, O]: dx [N, I] (null: not wanted), dw [O, I] and db [O] (each null: not
// wanted), overwritten.
template <class Gpu>
void narrow_linear_backward(Gpu&, const NarrowLinearShape&, const float* x, const float* w, const float* y,
                            const float* dy, float* dx, float* dw, float* db);

}  // namespace qmse
