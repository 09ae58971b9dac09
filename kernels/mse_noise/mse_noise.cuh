// MSE with the noise of QMSE on the GPU.
#pragma once

#include <cstdint>

#include "kernels/mse_noise/mse_noise.h"
#include "kernels/mse_noise/mse_noise_math.h"
#include "kernels/qmse/directed_loss.cuh"

namespace qmse {

template <class Gpu>
void mse_noise_loss(Gpu& gpu, const QmseArgs<float>& args) {
  using namespace device;
  directed_loss(gpu, "mse_noise_loss", args, MseNoiseRule{static_cast<std::int32_t>(args.row.classes)});
}

}  // namespace qmse
