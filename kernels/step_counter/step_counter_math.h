// C++17: included by device code.
#pragma once

#include "base/host_device.h"
#include "kernels/reduce/reduce_math.h"
#include "kernels/step_counter/step_counter.h"

namespace qmse {

QMSE_HOST_DEVICE inline void advance_counter(std::int64_t batch, const double* rates, bool halts,
                                             StepCounter& counter, EpochMetrics& metrics) {
  if (halts && metrics.first_non_finite_step >= 0) return;
  if (metrics.first_non_finite_step < 0 && !is_finite(counter.gradient_norm_sq)) {
    metrics.first_non_finite_step = metrics.steps - 1;  // accumulate_metrics has counted this step
    if (halts) return;
  }
  metrics.gradient_norm_sq += counter.gradient_norm_sq;
  ++counter.step;
  ++counter.index;
  counter.first += static_cast<std::uint64_t>(batch);
  if (rates != nullptr) counter.learning_rate = rates[counter.index];
}

}  // namespace qmse
