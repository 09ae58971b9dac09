// One thread moves the counter on.
#pragma once

#include "kernels/core/device.h"
#include "kernels/core/launch.h"
#include "kernels/step_counter/step_counter_math.h"

namespace qmse {

__global__ void advance_kernel(std::int64_t batch, const double* rates, StepCounter* counter) {
  advance_counter(batch, rates, *counter);
}

template <class Launcher>
void launch_advance(Launcher& launcher, std::int64_t batch, const double* rates, StepCounter* counter) {
  launcher.launch(QMSE_KERNEL(advance_kernel), LaunchShape{1, 1}, batch, rates, counter);
}

}  // namespace qmse
