#include "kernels/qmse/qmse.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void qmse_loss(GpuContext&, const QmseArgs<float>&);

}  // namespace qmse
