#include "kernels/residual_loss/residual_loss.cuh"

#include "kernels/gpu/context.h"
#include "kernels/residual_loss/rules.h"

namespace qmse {

#define QMSE_INSTANTIATE(Rule) template void residual_loss<Rule>(GpuContext&, const RowLossArgs<float>&);
QMSE_RESIDUAL_LOSSES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
