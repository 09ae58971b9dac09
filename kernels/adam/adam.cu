#include "kernels/adam/adam.cuh"
#include "kernels/adam/adam.h"
#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_launcher.h"

namespace qmse {

void adam_step(CudaContext& context, const AdamHyper& hyper, const AdamArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_adam(launcher, hyper, args);
}

}  // namespace qmse
