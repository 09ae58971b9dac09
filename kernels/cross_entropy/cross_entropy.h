// Cross-entropy of softmax: loss -sum_i y_i log softmax(f)_i, gradient with respect to f: softmax(f) - y (for
// dense targets that do not sum to 1: sum(y) softmax(f) - y). Times RowLossArgs::scale.
#pragma once

#include "device/context.h"
#include "kernels/row_loss/row_loss.h"

namespace qmse {

void cross_entropy_loss(CpuContext&, const RowLossArgs<float>&);
void cross_entropy_loss(CpuContext&, const RowLossArgs<double>&);
template <class Gpu>
void cross_entropy_loss(Gpu&, const RowLossArgs<float>&);

}  // namespace qmse
