#include "kernels/narrow_linear/narrow_linear.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void narrow_linear_forward(GpuContext&, const NarrowLinearShape&, const float* x, const float* w,
                                    const float* bias, float* y);
template void narrow_linear_backward(GpuContext&, const NarrowLinearShape&, const float* x, const float* w,
                                     const float* y, const float* dy, float* dx, float* dw, float* db);

}  // namespace qmse
