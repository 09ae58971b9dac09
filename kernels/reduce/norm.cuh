// The sum of squares over a flat buffer, and the cut of the optimizers' updates: one block takes one
// chunk of kNormChunk elements, its threads groups of four; a second, small kernel adds the partial sums.
#pragma once

#include <cstdint>

#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/launch.h"
#include "kernels/reduce/block_reduce.cuh"
#include "kernels/reduce/reduce.h"

namespace qmse {

inline constexpr unsigned kNormThreads = 512;
inline constexpr int kNormGroups = static_cast<int>(kNormChunk / (4 * kNormThreads));  // of a thread
static_assert(kNormGroups * 4 * kNormThreads == kNormChunk, "a block's groups fill its chunk");

// The first element of this thread's group `group` of its block's chunk.
__device__ __forceinline__ std::int64_t norm_group_begin(int group) {
  return blockIdx.x * kNormChunk + 4 * (static_cast<std::int64_t>(group) * kNormThreads + threadIdx.x);
}

__device__ __forceinline__ double sum_of_squares_of(const Group<float, 4>& group) {
  double sum = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) sum += static_cast<double>(group.v[k]) * static_cast<double>(group.v[k]);
  return sum;
}

// Writes this block's partial sum from each thread's.
__device__ __forceinline__ void store_norm_partial(double sum, double* partials) {
  __shared__ SharedArray<double, kMostWarps> scratch;
  sum = block_reduce(sum, Sum(), scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// The kernels are templates, as others' launches use them: several object files may then hold the same one.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    sum_of_squares_kernel(std::int64_t n, const float* __restrict__ x, bool aligned, double* partials) {
  double sum = 0;
#pragma unroll
  for (int group = 0; group < kNormGroups; ++group) {
    sum += sum_of_squares_of(load_group<4>(x, norm_group_begin(group), n, aligned));
  }
  store_norm_partial(sum, partials);
}

template <unsigned threads>
__global__ void __launch_bounds__(threads)
    norm_total_kernel(std::int64_t count, const double* partials, double* result) {
  __shared__ SharedArray<double, kMostWarps> scratch;
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += threads) sum += partials[i];
  sum = block_reduce(sum, Sum(), scratch);
  if (threadIdx.x == 0) *result = sum;
}

// *result = the sum of the norm_partials(n) partial sums.
template <class Launcher>
void launch_norm_total(Launcher& launcher, std::int64_t n, const double* partials, double* result) {
  launcher.launch(QMSE_KERNEL(norm_total_kernel<kNormThreads>), LaunchShape{1, kNormThreads},
                  norm_partials(n), partials, result);
}

// *result = the sum of squares of x[0, n), in the order that n alone decides; partials: norm_partials(n)
// numbers.
template <class Launcher>
void launch_sum_of_squares(Launcher& launcher, std::int64_t n, const float* x, double* partials,
                           double* result) {
  if (n > 0) {
    launcher.launch(QMSE_KERNEL(sum_of_squares_kernel<kNormThreads>),
                    LaunchShape{grid_blocks(n, kNormChunk), kNormThreads}, n, x, aligned_for<4>(x), partials);
  }
  launch_norm_total(launcher, n, partials, result);
}

}  // namespace qmse
