// Mean squared error: loss 1/2 ||r||^2, gradient with respect to f: -r, where r = y - f. Times
// RowLossArgs::scale.
#pragma once

#include "device/context.h"
#include "kernels/row_loss/row_loss.h"

namespace qmse {

void mse_loss(CpuContext&, const RowLossArgs<float>&);
void mse_loss(CpuContext&, const RowLossArgs<double>&);
void mse_loss(CudaContext&, const RowLossArgs<float>&);

}  // namespace qmse
