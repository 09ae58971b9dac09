#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_launcher.h"
#include "kernels/sgd/sgd.cuh"
#include "kernels/sgd/sgd.h"

namespace qmse {

void sgd_step(CudaContext& context, const SgdHyper& hyper, const SgdArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_sgd(launcher, hyper, args);
}

}  // namespace qmse
