#include "kernels/pooled_conv/pooled_conv.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void pooled_conv_forward(CudaContext& context, const PooledConvShape& shape, const float* x, const float* w,
                         const float* bias, float* y, std::uint8_t* choice) {
  CudaLauncher launcher(context.stream());
  launch_pooled_conv_forward(launcher, shape, x, w, bias, y, choice);
}

void pooled_conv_weights(CudaContext& context, const PooledConvShape& shape, const float* x, const float* dy,
                         const std::uint8_t* choice, float* dw, float* db, float* partials) {
  CudaLauncher launcher(context.stream());
  launch_pooled_conv_weights(launcher, shape, x, dy, choice, dw, db, partials);
}

void pooled_conv_data(CudaContext& context, const PooledConvShape& shape, const float* w, const float* dy,
                      const std::uint8_t* choice, float* dx) {
  CudaLauncher launcher(context.stream());
  launch_pooled_conv_data(launcher, shape, w, dy, choice, dx);
}

}  // namespace qmse
