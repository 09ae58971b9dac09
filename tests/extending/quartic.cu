#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "tests/extending/quartic.cuh"
#include "tests/extending/quartic.h"

namespace example {

void quartic_loss(qmse::CudaContext& context, const qmse::RowLossArgs<float>& args) {
  qmse::CudaLauncher launcher(context.stream());
  launch_quartic_loss(launcher, args);
}

}  // namespace example
