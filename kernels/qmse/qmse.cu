#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/qmse/qmse.cuh"
#include "kernels/qmse/qmse.h"

namespace qmse {

void qmse_loss(CudaContext& context, const QmseArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_qmse_loss(launcher, args);
}

void qmse_expected_loss(CudaContext& context, const RowLossArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_qmse_expected_loss(launcher, args);
}

}  // namespace qmse
