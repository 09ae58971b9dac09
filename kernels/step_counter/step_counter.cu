#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/step_counter/step_counter.cuh"

namespace qmse {

void advance(CudaContext& context, std::int64_t batch, const double* rates, bool halts, StepCounter* counter,
             EpochMetrics* metrics) {
  CudaLauncher launcher(context.stream());
  launch_advance(launcher, batch, rates, halts, counter, metrics);
}

}  // namespace qmse
