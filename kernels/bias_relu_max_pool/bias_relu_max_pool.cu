#include "kernels/bias_relu_max_pool/bias_relu_max_pool.cuh"

#include "device/cuda_context.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void bias_relu_max_pool_forward(CudaContext& context, const MaxPool2dShape& shape, const float* x,
                                const float* bias, float* y, std::uint8_t* choice) {
  CudaLauncher launcher(context.stream());
  launch_bias_relu_max_pool_forward(launcher, shape, x, bias, y, choice);
}

void bias_relu_max_pool_backward(CudaContext& context, const MaxPool2dShape& shape, const float* dy,
                                 const std::uint8_t* choice, float* dx, float* db, double* partials) {
  CudaLauncher launcher(context.stream());
  launch_bias_relu_max_pool_backward(launcher, shape, dy, choice, dx, db, partials);
}

}  // namespace qmse
