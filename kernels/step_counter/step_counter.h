// Where training stands, in device memory, so that a replayed step sees it move. C++17: included by device
// code.
#pragma once

#include <cstdint>

#include "device/context.h"
#include "kernels/epoch_metrics/epoch_metrics.h"

namespace qmse {

struct StepCounter {
  std::uint64_t step = 0;    // steps taken since training began: the random counter's step, and Adam's t - 1
  std::uint64_t index = 0;   // steps taken in this epoch
  std::uint64_t first = 0;   // samples used in this epoch: where in the order the next batch begins
  double learning_rate = 0;  // of the next step
  double gradient_norm_sq = 0;  // of the last step
};

// After a step over `batch` samples: adds its gradient norm to the epoch's and moves on to the next step,
// whose learning rate is rates[index]. `rates` holds the epoch's learning rates, one a step, and one element
// more; null while evaluating. With `halts`, a step whose loss was not finite is not left any more: whatever
// is queued after it repeats it, so that its activations can still be looked at.
void advance(CpuContext&, std::int64_t batch, const double* rates, bool halts, StepCounter* counter,
             EpochMetrics* metrics);
void advance(CudaContext&, std::int64_t batch, const double* rates, bool halts, StepCounter* counter,
             EpochMetrics* metrics);

}  // namespace qmse
