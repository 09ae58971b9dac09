// MSE on the GPU: see kernels/row_loss/row_loss.cuh.
#pragma once

#include "kernels/mse/mse_math.h"
#include "kernels/row_loss/residual_loss.cuh"

namespace qmse {

template <class Launcher>
void launch_mse_loss(Launcher& launcher, const RowLossArgs<float>& args) {
  check_row_loss_args("mse_loss", args);
  launch_residual_loss(launcher, args, MseFormula{});
}

}  // namespace qmse
