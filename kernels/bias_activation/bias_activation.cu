#include "kernels/bias_activation/bias_activation.cuh"

#include "device/cuda_context.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void bias_activation_forward(CudaContext& context, const BiasShape& shape, Activation activation,
                             const float* x, const float* bias, float* y) {
  CudaLauncher launcher(context.stream());
  launch_bias_activation_forward(launcher, shape, activation, x, bias, y);
}

void activation_backward(CudaContext& context, std::int64_t n, Activation activation, const float* y,
                         const float* dy, float* dx) {
  CudaLauncher launcher(context.stream());
  launch_activation_backward(launcher, n, activation, y, dy, dx);
}

void bias_gradient(CudaContext& context, const BiasShape& shape, const float* dy, float* db) {
  CudaLauncher launcher(context.stream());
  launch_bias_gradient(launcher, shape, dy, db);
}

}  // namespace qmse
