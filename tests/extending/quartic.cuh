#pragma once

#include "kernels/row_loss/residual_loss.cuh"
#include "tests/extending/quartic_math.h"

namespace example {

template <class Launcher>
void launch_quartic_loss(Launcher& launcher, const qmse::RowLossArgs<float>& args) {
  qmse::check_row_loss_args("quartic_loss", args);
  qmse::launch_residual_loss(launcher, args, quartic_formula(args.classes));
}

}  // namespace example
