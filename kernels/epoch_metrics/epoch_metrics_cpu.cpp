#include <cstdint>

#include "kernels/epoch_metrics/epoch_metrics.h"
#include "kernels/epoch_metrics/epoch_metrics_math.h"

namespace qmse {
namespace {

template <class T>
void accumulate(std::int64_t batch, const T* sample_loss, const T* residual_sq, const std::int32_t* correct,
                const double* gradient_norm_sq, EpochMetrics* metrics) {
  BatchSums sums;
  for (std::int64_t i = 0; i < batch; ++i) {
    sums.loss += static_cast<double>(sample_loss[i]);
    sums.residual_sq += static_cast<double>(residual_sq[i]);
    sums.correct += correct[i];
  }
  add_batch(sums, batch, gradient_norm_sq, *metrics);
}

}  // namespace

void accumulate_metrics(CpuContext&, std::int64_t batch, const float* sample_loss, const float* residual_sq,
                        const std::int32_t* correct, const double* gradient_norm_sq, EpochMetrics* metrics) {
  accumulate(batch, sample_loss, residual_sq, correct, gradient_norm_sq, metrics);
}
void accumulate_metrics(CpuContext&, std::int64_t batch, const double* sample_loss, const double* residual_sq,
                        const std::int32_t* correct, const double* gradient_norm_sq, EpochMetrics* metrics) {
  accumulate(batch, sample_loss, residual_sq, correct, gradient_norm_sq, metrics);
}

}  // namespace qmse
