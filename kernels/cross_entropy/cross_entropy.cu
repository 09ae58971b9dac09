#include "device/cuda_context.h"
#include "kernels/cross_entropy/cross_entropy.cuh"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void cross_entropy_loss(CudaContext& context, const RowLossArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_cross_entropy_loss(launcher, args);
}

}  // namespace qmse
