#include "kernels/core/cuda_context.h"
#include "kernels/core/cuda_launcher.h"
#include "kernels/epoch_metrics/epoch_metrics.cuh"
#include "kernels/epoch_metrics/epoch_metrics.h"

namespace qmse {

void accumulate_metrics(CudaContext& context, std::int64_t batch, const float* sample_loss,
                        const float* residual_sq, const std::int32_t* correct, bool halts,
                        EpochMetrics* metrics) {
  CudaLauncher launcher(context.stream());
  launch_accumulate_metrics(launcher, batch, sample_loss, residual_sq, correct, halts, metrics);
}

}  // namespace qmse
