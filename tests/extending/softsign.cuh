// Softsign on the GPU: one element a thread.
#pragma once

#include <cstdint>

#include "kernels/gpu/cuda_names.h"
#include "kernels/gpu/launch.h"
#include "tests/extending/softsign_math.h"

namespace example {

__global__ void softsign_forward_kernel(std::int64_t n, const float* x, float* y) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = softsign(x[i]);
}

__global__ void softsign_backward_kernel(std::int64_t n, const float* y, const float* dy, float* dx) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dx[i] = softsign_gradient(y[i], dy[i]);
}

template <class Launcher>
void launch_softsign_forward(Launcher& launcher, std::int64_t n, const float* x, float* y) {
  if (n == 0) return;
  const qmse::LaunchShape shape{qmse::grid_blocks(n, 256), 256};
  launcher.launch(QMSE_KERNEL(softsign_forward_kernel), shape, n, x, y);
}

template <class Launcher>
void launch_softsign_backward(Launcher& launcher, std::int64_t n, const float* y, const float* dy,
                              float* dx) {
  if (n == 0) return;
  const qmse::LaunchShape shape{qmse::grid_blocks(n, 256), 256};
  launcher.launch(QMSE_KERNEL(softsign_backward_kernel), shape, n, y, dy, dx);
}

}  // namespace example
