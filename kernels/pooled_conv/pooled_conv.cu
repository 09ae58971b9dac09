#include "kernels/pooled_conv/pooled_conv.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void pooled_conv_forward(GpuContext&, const PooledConvShape&, const float* x, const float* w,
                                  const float* bias, float* y, std::uint8_t* choice, float* transformed);
template void pooled_conv_weights(GpuContext&, const PooledConvShape&, const float* x, const float* dy,
                                  const std::uint8_t* choice, float* dw, float* db, float* partials);
template void pooled_conv_data(GpuContext&, const PooledConvShape&, const float* w, const float* dy,
                               const std::uint8_t* choice, float* dx);

}  // namespace qmse
