// Bias, ReLU and max-pool in one kernel on the GPU: pooling with a window of its own, and pooling's backward,
// which finds kNothingPassed nowhere in a window and so writes zeros.
#pragma once

#include <cstdint>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool_math.h"
#include "kernels/max_pool2d/pool_backward.cuh"
#include "kernels/max_pool2d/pool_forward.cuh"

namespace qmse {

template <class Gpu>
void bias_relu_max_pool_forward(Gpu& gpu, const MaxPool2dShape& shape, const float* x, const float* bias,
                                float* y, std::uint8_t* choice) {
  using namespace device;
  launch_pool_forward<ReluPoolWindow<float>>(gpu, shape, x, bias, y, choice);
}

template <class Gpu>
void bias_relu_max_pool_backward(Gpu& gpu, const MaxPool2dShape& shape, const float* dy,
                                 const std::uint8_t* choice, float* dx, float* db, double* partials) {
  using namespace device;
  static_assert(kNothingPassed >= 15 * 15, "no place in a window is kNothingPassed");
  launch_pool_backward(gpu, shape, dy, choice, dx, db, partials);
}

}  // namespace qmse
