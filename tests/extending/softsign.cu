// Softsign on the GPU: one element a thread.
#include "device/launch.h"
#include "kernels/gpu/context.h"
#include "kernels/gpu/cuda_names.h"
#include "tests/extending/softsign.h"

namespace example {

__global__ void softsign_forward_kernel(std::int64_t n, const float* x, float* y) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = softsign(x[i]);
}

__global__ void softsign_backward_kernel(std::int64_t n, const float* y, const float* dy, float* dx) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dx[i] = softsign_gradient(y[i], dy[i]);
}

template <class Gpu>
void softsign_forward(Gpu& gpu, std::int64_t n, const float* x, float* y) {
  if (n == 0) return;
  const qmse::LaunchShape shape{qmse::grid_blocks(n, 256), 256};
  gpu.launch(QMSE_KERNEL(softsign_forward_kernel), shape, n, x, y);
}

template <class Gpu>
void softsign_backward(Gpu& gpu, std::int64_t n, const float* y, const float* dy, float* dx) {
  if (n == 0) return;
  const qmse::LaunchShape shape{qmse::grid_blocks(n, 256), 256};
  gpu.launch(QMSE_KERNEL(softsign_backward_kernel), shape, n, y, dy, dx);
}

template void softsign_forward(qmse::GpuContext&, std::int64_t n, const float* x, float* y);
template void softsign_backward(qmse::GpuContext&, std::int64_t n, const float* y, const float* dy,
                                float* dx);

}  // namespace example
