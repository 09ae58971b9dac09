#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/mse/mse.cuh"
#include "kernels/mse/mse.h"

namespace qmse {

void mse_loss(CudaContext& context, const RowLossArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_mse_loss(launcher, args);
}

}  // namespace qmse
