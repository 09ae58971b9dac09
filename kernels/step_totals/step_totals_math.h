// A step's sums, once they are known. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "kernels/reduce/reduce_math.h"
#include "kernels/step_totals/step_totals.h"

namespace qmse {

// Adds the step to the epoch and moves the counter on to the next step.
template <class T>
QMSE_HOST_DEVICE inline void add_step(const SampleSums& sums, double gradient_norm_sq,
                                      const StepTotalsArgs<T>& args) {
  EpochMetrics& metrics = *args.metrics;
  StepCounter& counter = *args.counter;
  counter.gradient_norm_sq = gradient_norm_sq;
  const bool known = metrics.first_non_finite_step >= 0;
  counter.held = 0;
  if (args.halt_on_non_finite && known) return;
  const bool finite = is_finite(sums.loss) && is_finite(gradient_norm_sq);
  // f32: squares in f64 do not underflow, so the norm is zero where every element is.
  const bool null = finite && args.n > 0 && gradient_norm_sq == 0 && sums.residual_sq > 0;
  if (null && counter.redraw < args.redraws) {
    ++counter.redraw;
    ++metrics.redraws;
    return;
  }
  counter.redraw = 0;
  if (!known && !finite) metrics.first_non_finite_step = metrics.steps;
  metrics.add(sums);
  metrics.samples += args.batch;
  metrics.steps += 1;
  metrics.last_loss = sums.loss / static_cast<double>(args.batch);
  if (args.halt_on_non_finite && !finite) return;
  counter.held = -1;
  metrics.gradient_norm_sq += gradient_norm_sq;
  if (null) ++metrics.null_steps;
  counter.update_rate = counter.learning_rate;
  counter.update_step = counter.step;
  ++counter.step;
  ++counter.index;
  counter.first += static_cast<std::uint64_t>(args.batch);
  if (args.rates != nullptr) counter.learning_rate = args.rates[counter.index];
}

}  // namespace qmse
