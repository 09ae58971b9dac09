#include "kernels/residual_loss/residual_loss_cpu.h"
#include "tests/extending/huber.h"

template void qmse::residual_loss<example::HuberRule>(CpuContext&, const RowLossArgs<float>&);
template void qmse::residual_loss<example::HuberRule>(CpuContext&, const RowLossArgs<double>&);
