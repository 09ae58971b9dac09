// y = max_pool(relu(x + bias)) in one pass over a convolution's output, and its gradient in one.
// Bit-equal to bias_activation_forward(relu) followed by max_pool2d_forward.
#pragma once

#include <cstdint>

#include "kernels/max_pool2d/max_pool2d.h"

namespace qmse {

// In `choice`: the place in the window (row * window + column) whose value passed, or this where ReLU let
// nothing pass.
inline constexpr std::uint8_t kNothingPassed = 255;

// x [N, C, H, W], bias [C] -> y [N, C, OH, OW], choice [N, C, OH, OW].
template <class Gpu>
void bias_relu_max_pool_forward(Gpu&, const MaxPool2dShape&, const float* x, const float* bias, float* y,
                                std::uint8_t* choice);

// dx [N, C, H, W], overwritten whole (zeros where nothing passed), and db [C] (null: not wanted), the sum of
// dx over batch and plane, which costs no second pass over dx. `partials` is scratch of
// pool_backward_partials(shape) doubles; db is summed in an order fixed by the shape and the
// pointers' alignment.
template <class Gpu>
void bias_relu_max_pool_backward(Gpu&, const MaxPool2dShape&, const float* dy, const std::uint8_t* choice,
                                 float* dx, float* db, double* partials);

}  // namespace qmse
