// Fill on the GPU: 16-byte stores, with single stores for the ends that are not aligned to them.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"

namespace qmse::device {

// One thread for every group of four and at least four threads. `head` < 4 elements come before the first
// 16-byte boundary, then `vectors` groups, then a tail of fewer than four elements.
__global__ void fill_kernel(std::int64_t n, int head, std::int64_t vectors, float value,
                            float* __restrict__ x) {
  const std::int64_t thread = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (thread < vectors) store_aligned(x + head + 4 * thread, Group<float, 4>{{value, value, value, value}});
  if (thread < head) x[thread] = value;
  const std::int64_t tail = head + 4 * vectors;
  if (thread < n - tail) x[tail + thread] = value;
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void fill(Gpu& gpu, std::int64_t n, float value, float* x) {
  using namespace device;
  if (n == 0) return;
  constexpr unsigned block = 256;
  const auto to_boundary =
      static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(x) % 16 / sizeof(float));
  const std::int64_t head = to_boundary < n ? to_boundary : n;
  const std::int64_t vectors = (n - head) / 4;
  gpu.launch(QMSE_KERNEL(fill_kernel), LaunchShape{grid_blocks((n + 3) / 4, block), block}, n,
             static_cast<int>(head), vectors, value, x);
}

}  // namespace qmse
