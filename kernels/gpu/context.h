// The context that `.cu` files compile their operations for: CUDA's, or where the tests compile them for the
// SIMT executor (tests/simt/README.md) the executor's. C++17: included by device code.
#pragma once

#if defined(QMSE_SIMT) && !defined(QMSE_CUDA_STAND_IN)
#include "kernels/gpu/simt/context.h"
#else
#include "device/cuda_context.h"
#endif

namespace qmse {

#if defined(QMSE_SIMT) && !defined(QMSE_CUDA_STAND_IN)
using GpuContext = simt::Context;
#else
using GpuContext = CudaContext;
#endif

}  // namespace qmse
