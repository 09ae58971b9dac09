#include "kernels/step_totals/step_totals.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void step_totals(GpuContext&, const StepTotalsArgs<float>&);

}  // namespace qmse
