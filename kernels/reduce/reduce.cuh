// Reductions on the GPU.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/reduce/reduce_math.h"

namespace qmse::device {

__global__ void __launch_bounds__(kElementThreads)
    add_kernel(std::int64_t n, const float* __restrict__ x, float* __restrict__ y, bool aligned) {
  const std::int64_t i = 4 * grid_thread();
  if (i >= n) return;
  const Group<float, 4> from = load_group<4>(x, i, n, aligned);
  Group<float, 4> to = load_group<4>(y, i, n, aligned);
#pragma unroll
  for (int k = 0; k < 4; ++k) to.v[k] += from.v[k];
  store_group(y, i, n, aligned, to);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void add(Gpu& gpu, std::int64_t n, const float* x, float* y) {
  using namespace device;
  if (n == 0) return;
  gpu.launch(QMSE_KERNEL(add_kernel), LaunchShape{grid_blocks(n, 4 * kElementThreads), kElementThreads}, n, x,
             y, aligned_for<4>(x, y));
}

}  // namespace qmse

namespace qmse::device {

__global__ void set_index_kernel(std::int64_t value, long long* index) { *index = value; }

// Lowers *index to the first non-finite element's. Threads that find none leave it alone.
__global__ void __launch_bounds__(kElementThreads)
    first_non_finite_kernel(std::int64_t n, const float* __restrict__ x, bool aligned, long long* index) {
  const std::int64_t i = 4 * grid_thread();
  long long first = n;
  if (i < n) {
    const Group<float, 4> four = load_group<4>(x, i, n, aligned);  // what lies beyond the end counts as zero
#pragma unroll
    for (int k = 3; k >= 0; --k) {
      if (!is_finite(four.v[k])) first = i + k;
    }
  }
  first = warp_reduce(first, Smallest());
  if (threadIdx.x % kWarpSize == 0 && first < n) atomicMin(index, first);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void first_non_finite(Gpu& gpu, std::int64_t n, const float* x, std::int64_t* index) {
  using namespace device;
  static_assert(sizeof(long long) == sizeof(std::int64_t), "atomicMin takes long long");
  auto* place = reinterpret_cast<long long*>(index);
  gpu.launch(QMSE_KERNEL(set_index_kernel), LaunchShape{1, 1}, n, place);
  if (n == 0) return;
  gpu.launch(QMSE_KERNEL(first_non_finite_kernel),
             LaunchShape{grid_blocks(n, 4 * kElementThreads), kElementThreads}, n, x, aligned_for<4>(x),
             place);
}

}  // namespace qmse
