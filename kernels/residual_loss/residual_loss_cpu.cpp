#include "kernels/residual_loss/residual_loss_cpu.h"

#include "kernels/residual_loss/rules.h"

namespace qmse {

#define QMSE_INSTANTIATE(Rule)                                               \
  template void residual_loss<Rule>(CpuContext&, const RowLossArgs<float>&); \
  template void residual_loss<Rule>(CpuContext&, const RowLossArgs<double>&);
QMSE_RESIDUAL_LOSSES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
