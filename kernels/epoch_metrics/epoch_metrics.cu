#include "device/cuda_context.h"
#include "kernels/epoch_metrics/epoch_metrics.cuh"
#include "kernels/epoch_metrics/epoch_metrics.h"
#include "kernels/gpu/cuda_launcher.h"

namespace qmse {

void accumulate_metrics(CudaContext& context, std::int64_t batch, const float* sample_loss,
                        const float* residual_sq, const std::int32_t* correct, bool halts,
                        EpochMetrics* metrics) {
  CudaLauncher launcher(context.stream());
  launch_accumulate_metrics(launcher, batch, sample_loss, residual_sq, correct, halts, metrics);
}

}  // namespace qmse
