#include "kernels/max_pool2d/max_pool2d.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/max_pool2d/max_pool2d.h"

namespace qmse {

void max_pool2d_forward(CudaContext& context, const MaxPool2dShape& shape, const float* x, float* y,
                        std::uint8_t* choice) {
  CudaLauncher launcher(context.stream());
  launch_max_pool2d_forward(launcher, shape, x, y, choice);
}

void max_pool2d_backward(CudaContext& context, const MaxPool2dShape& shape, const float* dy,
                         const std::uint8_t* choice, float* dx) {
  CudaLauncher launcher(context.stream());
  launch_max_pool2d_backward(launcher, shape, dy, choice, dx);
}

}  // namespace qmse
