// QMSE on the GPU.
#pragma once

#include "kernels/qmse/directed_loss.cuh"
#include "kernels/qmse/qmse_math.h"

namespace qmse {

template <class Gpu>
void qmse_loss(Gpu& gpu, const QmseArgs<float>& args) {
  using namespace device;
  directed_loss(gpu, "qmse_loss", args,
                QmseRule{qmse_residual_multiple<float>(args.options.q_gradient == QGradient::full)});
}

}  // namespace qmse
