// What an epoch adds up, in device memory, so that the host reads it once per epoch.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

// Sums run over the samples (loss, residual_sq, correct) and the steps (gradient_norm_sq) of the epoch so
// far.
struct EpochMetrics {
  double loss = 0;
  double residual_sq = 0;
  double gradient_norm_sq = 0;
  std::int64_t correct = 0;
  std::int64_t samples = 0;
  std::int64_t steps = 0;
  std::int64_t first_non_finite_step =
      -1;  // index within the epoch of the first step whose loss or gradient was not finite, or -1
  double last_loss = 0;  // mean loss of the last batch
};

// Adds one batch: sums of sample_loss [B], residual_sq [B] and correct [B] in f64, in index order (CPU) or in
// a fixed tree (CUDA). `metrics` is in device memory. With `halts`, nothing is added after a batch whose loss
// was not finite. (advance() adds the gradient's norm, which is known only at the end of a step.)
void accumulate_metrics(CpuContext&, std::int64_t batch, const float* sample_loss, const float* residual_sq,
                        const std::int32_t* correct, bool halts, EpochMetrics* metrics);
void accumulate_metrics(CpuContext&, std::int64_t batch, const double* sample_loss, const double* residual_sq,
                        const std::int32_t* correct, bool halts, EpochMetrics* metrics);
void accumulate_metrics(CudaContext&, std::int64_t batch, const float* sample_loss, const float* residual_sq,
                        const std::int32_t* correct, bool halts, EpochMetrics* metrics);

}  // namespace qmse
