#include "kernels/max_pool2d/max_pool2d.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void max_pool2d_forward(GpuContext&, const MaxPool2dShape&, const float* x, float* y,
                                 std::uint8_t* choice);
template void max_pool2d_backward(GpuContext&, const MaxPool2dShape&, const float* dy,
                                  const std::uint8_t* choice, float* dx);

}  // namespace qmse
