#include "tests/extending/huber.h"

#include "kernels/gpu/context.h"
#include "kernels/residual_loss/residual_loss.cuh"

template void qmse::residual_loss<example::HuberRule>(GpuContext&, const RowLossArgs<float>&);
