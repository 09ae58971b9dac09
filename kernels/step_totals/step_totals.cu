#include "kernels/step_totals/step_totals.cuh"

#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse {

void step_totals(CudaContext& context, const StepTotalsArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_step_totals(launcher, args);
}

}  // namespace qmse
