// Forward, a warp has an output of a row: its lanes go through the inputs. Backward, one launch: blocks of dx
// with a thread an element, then blocks of dw with 32 inputs each, whose warps share the batch.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "device/launch.h"
#include "kernels/bias_activation/bias_activation_math.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/narrow_linear/narrow_linear.h"

namespace qmse::device {

inline constexpr unsigned kNarrowForwardThreads = 256, kNarrowBackwardThreads = 512;
inline constexpr int kNarrow = static_cast<int>(kMaxNarrowOutputs);

template <Activation activation>
__global__ void __launch_bounds__(kNarrowForwardThreads)
    narrow_linear_forward_kernel(NarrowLinearShape s, const float* __restrict__ x,
                                 const float* __restrict__ w, const float* __restrict__ bias,
                                 float* __restrict__ y) {
  const Quotient at = divide(grid_thread() / kWarpSize, s.out_features);  // row, output
  if (at.quotient >= s.batch) return;
  const float* row = x + at.quotient * s.in_features;
  const float* weights = w + at.remainder * s.in_features;
  const std::int64_t lane = threadIdx.x % kWarpSize;
  float sum = 0;
#pragma unroll 4
  for (std::int64_t i = lane; i < s.in_features; i += kWarpSize) sum = __fmaf_rn(row[i], weights[i], sum);
  sum = warp_reduce(sum, Sum());
  if (lane != 0) return;
  if (bias != nullptr) sum += bias[at.remainder];
  y[at.quotient * s.out_features + at.remainder] = activate<activation>(sum);
}

template <Activation activation>
__global__ void __launch_bounds__(kNarrowBackwardThreads, 1)
    narrow_linear_backward_kernel(NarrowLinearShape s, std::int64_t data_blocks, const float* __restrict__ x,
                                  const float* __restrict__ w, const float* __restrict__ y,
                                  const float* __restrict__ dy, float* __restrict__ dx,
                                  float* __restrict__ dw, float* __restrict__ db) {
  constexpr unsigned kWarps = kNarrowBackwardThreads / kWarpSize;
  __shared__ SharedArray<float[kNarrow][kWarpSize], kWarps> weight_sums;
  __shared__ SharedArray<float[kNarrow], kWarps> bias_sums;
  const int outputs = static_cast<int>(s.out_features);
  const auto gradient = [&](std::int64_t row, int o) {
    const std::int64_t at = row * outputs + o;
    return activation_gradient<activation>(y[at], dy[at]);
  };
  if (blockIdx.x < data_blocks) {
    const std::int64_t e = grid_thread();
    if (e >= s.batch * s.in_features) return;
    const Quotient at = divide(e, s.in_features);  // row, input
    float sum = 0;
#pragma unroll
    for (int o = 0; o < kNarrow; ++o) {
      if (o < outputs) sum = __fmaf_rn(gradient(at.quotient, o), w[o * s.in_features + at.remainder], sum);
    }
    dx[e] = sum;
    return;
  }
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const std::int64_t first = (blockIdx.x - data_blocks) * kWarpSize, input = first + lane;
  const bool exists = input < s.in_features;
  float sums[kNarrow] = {};
  float bias_sum = 0;
#pragma unroll 2
  for (std::int64_t row = warp; row < s.batch; row += kWarps) {
    const float value = exists ? x[row * s.in_features + input] : 0.0f;
#pragma unroll
    for (int o = 0; o < kNarrow; ++o) {
      if (o < outputs) sums[o] = __fmaf_rn(gradient(row, o), value, sums[o]);
    }
    if (static_cast<int>(lane) < outputs) bias_sum += gradient(row, static_cast<int>(lane));
  }
#pragma unroll
  for (int o = 0; o < kNarrow; ++o) weight_sums[warp][o][lane] = sums[o];
  if (lane < static_cast<unsigned>(kNarrow)) bias_sums[warp][lane] = bias_sum;
  __syncthreads();
  if (static_cast<int>(warp) >= outputs) return;
  float total = 0;
  for (unsigned part = 0; part < kWarps; ++part) total += weight_sums[part][warp][lane];
  if (exists && dw != nullptr) dw[warp * s.in_features + input] = total;
  if (first != 0 || lane != 0 || db == nullptr) return;
  total = 0;
  for (unsigned part = 0; part < kWarps; ++part) total += bias_sums[part][warp];
  db[warp] = total;
}

inline void check_narrow_linear(const NarrowLinearShape& s) {
  if (!has_narrow_linear(s)) throw ShapeError("narrow_linear: too many outputs, inputs or rows");
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void narrow_linear_forward(Gpu& gpu, const NarrowLinearShape& s, const float* x, const float* w,
                           const float* bias, float* y) {
  using namespace device;
  check_narrow_linear(s);
  with_activation(s.activation, [&](auto activation) {
    gpu.launch(QMSE_KERNEL(narrow_linear_forward_kernel<decltype(activation)::value>),
               LaunchShape{grid_blocks(s.batch * s.out_features, kNarrowForwardThreads / kWarpSize),
                           kNarrowForwardThreads},
               s, x, w, bias, y);
  });
}

template <class Gpu>
void narrow_linear_backward(Gpu& gpu, const NarrowLinearShape& s, const float* x, const float* w,
                            const float* y, const float* dy, float* dx, float* dw, float* db) {
  using namespace device;
  static_assert(kNarrowBackwardThreads / kWarpSize >= kMaxNarrowOutputs, "a warp adds up one output's sums");
  check_narrow_linear(s);
  const std::int64_t data_blocks =
      dx == nullptr ? 0 : grid_blocks(s.batch * s.in_features, kNarrowBackwardThreads);
  const std::int64_t weight_blocks =
      dw == nullptr && db == nullptr ? 0 : grid_blocks(s.in_features, kWarpSize);
  if (data_blocks + weight_blocks == 0) return;
  with_activation(s.activation, [&](auto activation) {
    gpu.launch(QMSE_KERNEL(narrow_linear_backward_kernel<decltype(activation)::value>),
               LaunchShape{grid_blocks(data_blocks + weight_blocks, 1), kNarrowBackwardThreads}, s,
               data_blocks, x, w, y, dy, dx, dw, db);
  });
}

}  // namespace qmse
