#include "kernels/softmax/softmax.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/softmax/softmax.h"

namespace qmse {

void softmax_forward(CudaContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                     const float* x, float* y) {
  CudaLauncher launcher(context.stream());
  launch_softmax_forward(launcher, kind, rows, columns, x, y);
}

void softmax_backward(CudaContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                      const float* y, const float* dy, float* dx) {
  CudaLauncher launcher(context.stream());
  launch_softmax_backward(launcher, kind, rows, columns, y, dy, dx);
}

}  // namespace qmse
