#include "device/cuda_context.h"
#include "kernels/gather_normalize/gather_normalize.cuh"
#include "kernels/gather_normalize/gather_normalize.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void gather_normalize(CudaContext& context, const GatherArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_gather_normalize(launcher, args);
}

}  // namespace qmse
