// The loss 1/4 ||r||^4 + 1/2 ||r||^2 / c a sample, whose gradient with respect to f is -(||r||^2 + 1/c) r:
// the function that QMSE descends in expectation (docs/theory.md, fact 6).
#pragma once

#include "device/context.h"
#include "kernels/row_loss/row_loss.h"

namespace example {

void quartic_loss(qmse::CpuContext&, const qmse::RowLossArgs<float>&);
void quartic_loss(qmse::CpuContext&, const qmse::RowLossArgs<double>&);
void quartic_loss(qmse::CudaContext&, const qmse::RowLossArgs<float>&);

}  // namespace example
