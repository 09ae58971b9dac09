// One batch's sums added to the epoch's. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "kernels/epoch_metrics/epoch_metrics.h"
#include "kernels/reduce/reduce_math.h"

namespace qmse {

// The sums over one batch.
struct BatchSums {
  double loss = 0;
  double residual_sq = 0;
  std::int64_t correct = 0;
};

QMSE_HOST_DEVICE inline void add_batch(const BatchSums& sums, std::int64_t batch, bool halts,
                                       EpochMetrics& metrics) {
  if (halts && metrics.first_non_finite_step >= 0) return;
  metrics.loss += sums.loss;
  metrics.residual_sq += sums.residual_sq;
  metrics.correct += sums.correct;
  metrics.samples += batch;
  if (metrics.first_non_finite_step < 0 && !is_finite(sums.loss)) {
    metrics.first_non_finite_step = metrics.steps;
  }
  metrics.steps += 1;
  metrics.last_loss = sums.loss / static_cast<double>(batch);
}

}  // namespace qmse
