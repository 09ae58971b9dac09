// Bias, activations and their gradients on the GPU.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/bias_activation/bias_activation_math.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"

namespace qmse::device {

// `y` may be `x`: a thread reads its elements before it writes them, and nobody else does.
template <Activation activation>
__global__ void __launch_bounds__(kElementThreads)
    bias_activation_forward_kernel(BiasShape shape, std::int64_t n, const float* x,
                                   const float* __restrict__ bias, float* y, bool aligned) {
  const std::int64_t i = 4 * grid_thread();
  if (i >= n) return;
  Group<float, 4> group = load_group<4>(x, i, n, aligned);
  if (bias != nullptr) {
    ChannelWalk walk(i, shape.channels, shape.inner);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      group.v[k] += bias[walk.channel()];
      walk.advance();
    }
  }
#pragma unroll
  for (int k = 0; k < 4; ++k) group.v[k] = activate<activation>(group.v[k]);
  store_group(y, i, n, aligned, group);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void bias_activation_forward(Gpu& gpu, const BiasShape& shape, Activation activation, const float* x,
                             const float* bias, float* y) {
  using namespace device;
  const std::int64_t n = shape.batch * shape.channels * shape.inner;
  if (n == 0) return;
  with_activation(activation, [&](auto chosen) {
    gpu.launch(QMSE_KERNEL(bias_activation_forward_kernel<decltype(chosen)::value>),
               LaunchShape{grid_blocks(n, 4 * kElementThreads), kElementThreads}, shape, n, x, bias, y,
               aligned_for<4>(x, y));
  });
}

}  // namespace qmse

namespace qmse::device {

template <Activation activation>
__global__ void __launch_bounds__(kElementThreads)
    activation_backward_kernel(std::int64_t n, const float* y, const float* dy, float* dx, bool aligned) {
  const std::int64_t i = 4 * grid_thread();
  if (i >= n) return;
  const Group<float, 4> output = load_group<4>(y, i, n, aligned);
  Group<float, 4> gradient = load_group<4>(dy, i, n, aligned);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    gradient.v[k] = activation_gradient<activation>(output.v[k], gradient.v[k]);
  }
  store_group(dx, i, n, aligned, gradient);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void activation_backward(Gpu& gpu, std::int64_t n, Activation activation, const float* y, const float* dy,
                         float* dx) {
  using namespace device;
  if (n == 0) return;
  with_activation(activation, [&](auto chosen) {
    gpu.launch(QMSE_KERNEL(activation_backward_kernel<decltype(chosen)::value>),
               LaunchShape{grid_blocks(n, 4 * kElementThreads), kElementThreads}, n, y, dy, dx,
               aligned_for<4>(y, dy, dx));
  });
}

}  // namespace qmse

namespace qmse::device {

inline constexpr unsigned kBiasGradientThreads = 512;

// One block for each channel. Its threads walk the channel's planes in groups of n elements (a plane holds
// whole groups), some groups in flight at a time; then a tree over the block.
template <int n>
__global__ void __launch_bounds__(kBiasGradientThreads)
    bias_gradient_planes_kernel(BiasShape shape, const float* __restrict__ dy, float* __restrict__ db,
                                bool aligned) {
  constexpr int kInFlight = 4;
  const std::int64_t groups = shape.inner / n;  // of a plane
  const Quotient start = divide(threadIdx.x, groups), stride = divide(kBiasGradientThreads, groups);
  std::int64_t item = start.quotient, group = start.remainder;
  float sums[n] = {};
  while (item < shape.batch) {
    Group<float, n> loaded[kInFlight];
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
      const std::int64_t begin = ((item * shape.channels + blockIdx.x) * groups + group) * n;
      loaded[k] = load_group<n>(dy, begin, item < shape.batch ? begin + n : begin, aligned);
      item += stride.quotient;
      group += stride.remainder;
      if (group >= groups) {
        group -= groups;
        ++item;
      }
    }
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) {
#pragma unroll
      for (int j = 0; j < n; ++j) sums[j] += loaded[k].v[j];
    }
  }
  double sum = 0;
#pragma unroll
  for (int j = 0; j < n; ++j) sum += static_cast<double>(sums[j]);
  __shared__ SharedArray<double, kMaxWarps> scratch;
  sum = block_reduce(sum, Sum(), scratch);
  if (threadIdx.x == 0) db[blockIdx.x] = static_cast<float>(sum);
}

inline constexpr unsigned kColumnThreads = 1024;
inline constexpr unsigned kBlockColumns = 8;  // f32: one sector of memory of each row

// Where a plane is one element: one block for each kBlockColumns channels, each thread adds up every 128th
// row of one.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    bias_gradient_columns_kernel(std::int64_t batch, std::int64_t channels, const float* __restrict__ dy,
                                 float* __restrict__ db) {
  constexpr unsigned kWarps = threads / kWarpSize, kRows = threads / kBlockColumns;
  __shared__ SharedArray<double[kBlockColumns], kWarps> partial;
  const unsigned column = threadIdx.x % kBlockColumns, warp = threadIdx.x / kWarpSize;
  const std::int64_t channel = static_cast<std::int64_t>(blockIdx.x) * kBlockColumns + column;
  float sum = 0;
  if (channel < channels) {
#pragma unroll 8
    for (std::int64_t item = threadIdx.x / kBlockColumns; item < batch; item += kRows) {
      sum += dy[item * channels + channel];
    }
  }
  double total = sum;
#pragma unroll
  for (unsigned distance = kBlockColumns; distance < kWarpSize; distance *= 2) {
    total += __shfl_xor_sync(0xFFFFFFFFu, total, static_cast<int>(distance));
  }
  if (threadIdx.x % kWarpSize < kBlockColumns) partial[warp][column] = total;
  __syncthreads();
  if (threadIdx.x >= kBlockColumns || channel >= channels) return;
  for (unsigned row = 1; row < kWarps; ++row) total += partial[row][column];
  db[channel] = static_cast<float>(total);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void bias_gradient(Gpu& gpu, const BiasShape& shape, const float* dy, float* db) {
  using namespace device;
  if (shape.channels == 0) return;
  if (shape.inner == 1) {
    gpu.launch(QMSE_KERNEL(bias_gradient_columns_kernel<kColumnThreads>),
               LaunchShape{grid_blocks(shape.channels, kBlockColumns), kColumnThreads}, shape.batch,
               shape.channels, dy, db);
    return;
  }
  const LaunchShape blocks{grid_blocks(shape.channels, 1), kBiasGradientThreads};
  if (shape.inner % 4 == 0) {
    gpu.launch(QMSE_KERNEL(bias_gradient_planes_kernel<4>), blocks, shape, dy, db, aligned_for<4>(dy));
  } else {
    gpu.launch(QMSE_KERNEL(bias_gradient_planes_kernel<1>), blocks, shape, dy, db, true);
  }
}

}  // namespace qmse
