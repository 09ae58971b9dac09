#include "kernels/narrow_linear/narrow_linear.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void narrow_linear_forward(CudaContext& context, const NarrowLinearShape& shape, const float* x,
                           const float* w, const float* bias, float* y) {
  CudaLauncher launcher(context.stream());
  launch_narrow_linear_forward(launcher, shape, x, w, bias, y);
}

void narrow_linear_backward(CudaContext& context, const NarrowLinearShape& shape, const float* x,
                            const float* w, const float* y, const float* dy, float* dx, float* dw,
                            float* db) {
  CudaLauncher launcher(context.stream());
  launch_narrow_linear_backward(launcher, shape, x, w, y, dy, dx, dw, db);
}

}  // namespace qmse
