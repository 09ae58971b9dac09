#include "kernels/mse/mse.h"
#include "kernels/mse/mse_math.h"
#include "kernels/row_loss/row_loss_cpu.h"

namespace qmse {

void mse_loss(CpuContext& context, const RowLossArgs<float>& args) {
  residual_loss(context, "mse_loss", args, MseFormula{});
}

void mse_loss(CpuContext& context, const RowLossArgs<double>& args) {
  residual_loss(context, "mse_loss", args, MseFormula{});
}

}  // namespace qmse
