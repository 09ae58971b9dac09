// Max-pooling on the GPU.
#pragma once

#include <cstdint>

#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/max_pool2d/max_pool2d_math.h"
#include "kernels/max_pool2d/pool_backward.cuh"
#include "kernels/max_pool2d/pool_forward.cuh"

namespace qmse {

template <class Gpu>
void max_pool2d_forward(Gpu& gpu, const MaxPool2dShape& shape, const float* x, float* y,
                        std::uint8_t* choice) {
  using namespace device;
  launch_pool_forward<MaxPoolWindow<float>>(gpu, shape, x, nullptr, y, choice);
}

template <class Gpu>
void max_pool2d_backward(Gpu& gpu, const MaxPool2dShape& shape, const float* dy, const std::uint8_t* choice,
                         float* dx) {
  using namespace device;
  launch_pool_backward(gpu, shape, dy, choice, dx, nullptr, nullptr);
}

}  // namespace qmse
