#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_launcher.h"
#include "kernels/step_counter/step_counter.cuh"

namespace qmse {

void advance(CudaContext& context, std::int64_t batch, const double* rates, StepCounter* counter) {
  CudaLauncher launcher(context.stream());
  launch_advance(launcher, batch, rates, counter);
}

}  // namespace qmse
