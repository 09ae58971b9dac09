#include "kernels/optimizer_step/optimizer_step.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

#define QMSE_INSTANTIATE(Rule) \
  template void optimizer_step<Rule>(GpuContext&, const Rule::Hyper&, const OptimizerArgs<float>&);
QMSE_OPTIMIZER_RULES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
