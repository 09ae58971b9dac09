// What the CPU's fully connected layers share beside their products.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/context.h"
#include "kernels/bias_activation/bias_activation_math.h"
#include "kernels/cpu/ranges.h"
#include "kernels/linear/gemm.h"
#include "kernels/linear/linear.h"

namespace qmse {

// y = activation(y + bias) for outputs [first, last) of `images` rows.
template <class T>
void add_bias_and_activate(const LinearShape& shape, std::int64_t images, std::int64_t first,
                           std::int64_t last, const T* bias, T* y) {
  for (std::int64_t n = 0; n < images; ++n) {
    T* row = y + n * shape.out_features;
    if (bias != nullptr) {
      for (std::int64_t o = first; o < last; ++o) row[o] += bias[o];
    }
    if (shape.activation == Activation::relu) {
      for (std::int64_t o = first; o < last; ++o) row[o] = activate<Activation::relu>(row[o]);
    }
  }
}

// The gradient before the activation: dy, or where that is ReLU, `masked`, which it writes.
template <class T>
const T* gradient_before_activation(CpuContext& context, const LinearShape& shape, const T* y, const T* dy,
                                    T* masked) {
  if (shape.activation != Activation::relu) return dy;
  for_ranges(context.threads(), shape.batch * shape.out_features, kRangeElements,
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t k = begin; k < end; ++k)
                 masked[k] = activation_gradient<Activation::relu>(y[k], dy[k]);
             });
  return masked;
}

// The dense products. Work is cut into blocks of outputs (forward) or inputs (gradients) over the whole batch,
// so that each weight is read once.
template <class T>
void forward_dense(CpuContext& context, const LinearShape& shape, Gemm<T>& gemm, const T* x, const T* w,
                   const T* bias, T* y) {
  constexpr std::int64_t kOutputs = 32;
  const std::int64_t in = shape.in_features, out = shape.out_features;
  context.threads().run(quotient_up(out, kOutputs), [&](std::int64_t block, int) {
    const std::int64_t first = block * kOutputs, last = std::min(out, first + kOutputs);
    gemm(shape.batch, last - first, in, {x, in, 1}, {w + first * in, 1, in}, y + first, out, false);
    add_bias_and_activate(shape, shape.batch, first, last, bias, y);
  });
}

// dx (where it is not null) and dw from dz, the gradient before the activation.
template <class T>
void gradients_dense(CpuContext& context, const LinearShape& shape, Gemm<T>& gemm, const T* x, const T* w,
                     const T* dz, T* dx, T* dw) {
  constexpr std::int64_t kInputs = 128;
  const std::int64_t batch = shape.batch, in = shape.in_features, out = shape.out_features;
  context.threads().run(quotient_up(in, kInputs), [&](std::int64_t block, int) {
    const std::int64_t first = block * kInputs, width = std::min(in - first, kInputs);
    gemm(out, width, batch, {dz, 1, out}, {x + first, in, 1}, dw + first, in, false);
    if (dx != nullptr) gemm(batch, width, out, {dz, out, 1}, {w + first, in, 1}, dx + first, in, false);
  });
}

// db = the sum of dz's rows, in order.
template <class T>
void sum_bias_gradient(CpuContext& context, const LinearShape& shape, const T* dz, T* db) {
  constexpr std::int64_t kOutputs = 32;
  context.threads().run(quotient_up(shape.out_features, kOutputs), [&](std::int64_t block, int) {
    const std::int64_t first = block * kOutputs, last = std::min(shape.out_features, first + kOutputs);
    std::copy(dz + first, dz + last, db + first);
    for (std::int64_t n = 1; n < shape.batch; ++n) {
      for (std::int64_t o = first; o < last; ++o) db[o] += dz[n * shape.out_features + o];
    }
  });
}

}  // namespace qmse
