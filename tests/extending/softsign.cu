#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "tests/extending/softsign.cuh"
#include "tests/extending/softsign.h"

namespace example {

void softsign_forward(qmse::CudaContext& context, std::int64_t n, const float* x, float* y) {
  qmse::CudaLauncher launcher(context.stream());
  launch_softsign_forward(launcher, n, x, y);
}

void softsign_backward(qmse::CudaContext& context, std::int64_t n, const float* y, const float* dy,
                       float* dx) {
  qmse::CudaLauncher launcher(context.stream());
  launch_softsign_backward(launcher, n, y, dy, dx);
}

}  // namespace example
