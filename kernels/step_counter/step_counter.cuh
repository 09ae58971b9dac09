// One thread moves the counter on.
#pragma once

#include "kernels/gpu/cuda_names.h"
#include "kernels/gpu/launch.h"
#include "kernels/step_counter/step_counter_math.h"

namespace qmse {

__global__ void advance_kernel(std::int64_t batch, const double* rates, bool halts, StepCounter* counter,
                               EpochMetrics* metrics) {
  advance_counter(batch, rates, halts, *counter, *metrics);
}

template <class Launcher>
void launch_advance(Launcher& launcher, std::int64_t batch, const double* rates, bool halts,
                    StepCounter* counter, EpochMetrics* metrics) {
  launcher.launch(QMSE_KERNEL(advance_kernel), LaunchShape{1, 1}, batch, rates, halts, counter, metrics);
}

}  // namespace qmse
