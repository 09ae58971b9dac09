#include <cstdint>

#include "kernels/epoch_metrics/epoch_metrics.h"
#include "kernels/epoch_metrics/epoch_metrics_math.h"

namespace qmse {
namespace {

template <class T>
void accumulate(std::int64_t batch, const T* sample_loss, const T* residual_sq, const std::int32_t* correct,
                bool halts, EpochMetrics* metrics) {
  BatchSums sums;
  for (std::int64_t i = 0; i < batch; ++i) {
    sums.loss += static_cast<double>(sample_loss[i]);
    sums.residual_sq += static_cast<double>(residual_sq[i]);
    sums.correct += correct[i];
  }
  add_batch(sums, batch, halts, *metrics);
}

}  // namespace

void accumulate_metrics(CpuContext&, std::int64_t batch, const float* sample_loss, const float* residual_sq,
                        const std::int32_t* correct, bool halts, EpochMetrics* metrics) {
  accumulate(batch, sample_loss, residual_sq, correct, halts, metrics);
}
void accumulate_metrics(CpuContext&, std::int64_t batch, const double* sample_loss, const double* residual_sq,
                        const std::int32_t* correct, bool halts, EpochMetrics* metrics) {
  accumulate(batch, sample_loss, residual_sq, correct, halts, metrics);
}

}  // namespace qmse
