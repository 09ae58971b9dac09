#include "kernels/bias_activation/bias_activation.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void bias_activation_forward(GpuContext&, const BiasShape&, Activation, const float* x,
                                      const float* bias, float* y);
template void activation_backward(GpuContext&, std::int64_t n, Activation, const float* y, const float* dy,
                                  float* dx);
template void bias_gradient(GpuContext&, const BiasShape&, const float* dy, float* db);

}  // namespace qmse
