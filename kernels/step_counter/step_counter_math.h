// C++17: included by device code.
#pragma once

#include "kernels/core/host_device.h"
#include "kernels/step_counter/step_counter.h"

namespace qmse {

QMSE_HOST_DEVICE inline void advance_counter(std::int64_t batch, const double* rates, StepCounter& counter) {
  ++counter.step;
  ++counter.index;
  counter.first += static_cast<std::uint64_t>(batch);
  counter.learning_rate = rates[counter.index];
}

}  // namespace qmse
