#include "kernels/step_counter/step_counter_math.h"

namespace qmse {

void advance(CpuContext&, std::int64_t batch, const double* rates, bool halts, StepCounter* counter,
             EpochMetrics* metrics) {
  advance_counter(batch, rates, halts, *counter, *metrics);
}

}  // namespace qmse
