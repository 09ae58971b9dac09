#include "kernels/bias_relu_max_pool/bias_relu_max_pool.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void bias_relu_max_pool_forward(GpuContext&, const MaxPool2dShape&, const float* x,
                                         const float* bias, float* y, std::uint8_t* choice);
template void bias_relu_max_pool_backward(GpuContext&, const MaxPool2dShape&, const float* dy,
                                          const std::uint8_t* choice, float* dx, float* db, double* partials);

}  // namespace qmse
