#include "kernels/reduce/reduce.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/reduce/reduce.h"

namespace qmse {

void add(CudaContext& context, std::int64_t n, const float* x, float* y) {
  CudaLauncher launcher(context.stream());
  launch_add(launcher, n, x, y);
}

void first_non_finite(CudaContext& context, std::int64_t n, const float* x, std::int64_t* index) {
  CudaLauncher launcher(context.stream());
  launch_first_non_finite(launcher, n, x, index);
}

}  // namespace qmse
