// Convolution 3x3, bias, ReLU and 2x2 max-pool by kernels of our own on the GPU, whose tiles are the
// pooling's windows. Backward they do only what the pooling lets through: of the four places of a window the
// gradient is zero at three, and at all four where nothing passed, so 13 to 17 % of the dense multiplications
// of both gradients remain in training. Nothing is approximated: finite sums differ from the dense product's
// in their order alone. A NaN or infinity in x or w meets no gradient where none passed (the dense product
// would multiply it by zero); an infinite gradient meets the zeros around the image, and gives a NaN.
//
// Places: choice [N, O, OH, OW] as bias_relu_max_pool_forward writes it (row * 2 + column, or
// kNothingPassed). Every order of summation is fixed by the shape.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "device/context.h"

namespace qmse {

struct PooledConvShape {
  std::int64_t batch = 0, in_channels = 0, height = 0, width = 0, out_channels = 0;
  // Rows and columns that fill no whole window are left out.
  QMSE_HOST_DEVICE std::int64_t out_height() const { return height / 2; }
  QMSE_HOST_DEVICE std::int64_t out_width() const { return width / 2; }
};

// x [N, I, H, W], w [O, I, 3, 3], bias [O] -> y [N, O, OH, OW], choice [N, O, OH, OW]. With more than four
// input channels by Winograd's F(2x2, 3x3): sums and differences of inputs, weights and products cost a few
// roundings more than the direct sum's, and what is infinite there may be NaN. `transformed`: scratch of
// pooled_conv_transformed(shape) floats (pooled_conv_plan.h). x and it are as aligned as plans count on
// (kernels/plan.h).
template <class Gpu>
void pooled_conv_forward(Gpu&, const PooledConvShape&, const float* x, const float* w, const float* bias,
                         float* y, std::uint8_t* choice, float* transformed);

// dw [O, I, 3, 3] and db [O], both overwritten, from x and dy [N, O, OH, OW]. `partials`: scratch of
// pooled_conv_partials(shape) floats (pooled_conv_plan.h).
template <class Gpu>
void pooled_conv_weights(Gpu&, const PooledConvShape&, const float* x, const float* dy,
                         const std::uint8_t* choice, float* dw, float* db, float* partials);

// dx [N, I, H, W], overwritten whole, from w and dy.
template <class Gpu>
void pooled_conv_data(Gpu&, const PooledConvShape&, const float* w, const float* dy,
                      const std::uint8_t* choice, float* dx);

}  // namespace qmse
