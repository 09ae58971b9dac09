#include "kernels/step_counter/step_counter_math.h"

namespace qmse {

void advance(CpuContext&, std::int64_t batch, const double* rates, StepCounter* counter) {
  advance_counter(batch, rates, *counter);
}

}  // namespace qmse
