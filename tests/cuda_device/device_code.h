// Included before everything else in device sources (`-include`): CUDA's headers first, then the executor's
// meaning of CUDA's keywords instead of theirs, and kernels that the stand-in knows.
#pragma once

#include <cuda_runtime.h>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __align__

#include "kernels/gpu/simt/cuda_names.h"
#include "tests/cuda_device/launch.h"

#undef QMSE_KERNEL
#define QMSE_KERNEL(...) \
  ::qmse::cuda_device::known(::qmse::make_kernel(__VA_ARGS__, #__VA_ARGS__, __FILE__, __LINE__))
