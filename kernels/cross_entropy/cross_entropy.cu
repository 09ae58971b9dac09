#include "kernels/cross_entropy/cross_entropy.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void cross_entropy_loss(GpuContext&, const RowLossArgs<float>&);

}  // namespace qmse
