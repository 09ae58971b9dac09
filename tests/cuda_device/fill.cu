#include "tests/cuda_device/fill.h"

#include "device/launch.h"
#include "kernels/gpu/cuda_names.h"

namespace qmse::test {

__global__ void fill_kernel(std::int64_t n, float value, float* x) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) x[i] = value;
}

void fill(CudaContext& context, std::int64_t n, float value, float* x, std::size_t shared_bytes) {
  context.launch(QMSE_KERNEL(fill_kernel), LaunchShape{grid_blocks(n, 256), 256, shared_bytes}, n, value, x);
}

}  // namespace qmse::test
