#include "kernels/mse_noise/mse_noise.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void mse_noise_loss(GpuContext&, const QmseArgs<float>&);

}  // namespace qmse
