#include "device/cuda_context.h"
#include "kernels/fill/fill.cuh"
#include "kernels/fill/fill.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void fill(CudaContext& context, std::int64_t n, float value, float* x) {
  CudaLauncher launcher(context.stream());
  launch_fill(launcher, n, value, x);
}

}  // namespace qmse
