#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_launcher.h"
#include "kernels/cross_entropy/cross_entropy.cuh"
#include "kernels/cross_entropy/cross_entropy.h"

namespace qmse {

void cross_entropy_loss(CudaContext& context, const RowLossArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_cross_entropy_loss(launcher, args);
}

}  // namespace qmse
