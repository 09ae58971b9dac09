// Bias, ReLU and max-pool of one window. C++17: included by device code.
#pragma once

#include "base/host_device.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/max_pool2d/max_pool2d_math.h"

namespace qmse {

// The window's state while its values x + bias are visited in row order by `visit`. ReLU needs no operation
// of its own: the maximum starts at ReLU's +0 with nothing passed, and only what is greater (or NaN) replaces
// it. Values and gradients are those of relu followed by max-pool (bias_activation_math.h,
// max_pool2d_math.h), ties and NaN included; the sum is rounded before it is compared, as it is when the two
// run apart.
template <class T>
struct ReluPoolWindow {
  T best = T(0);
  int choice = kNothingPassed;

  QMSE_HOST_DEVICE void visit(T biased, int place) { pool_visit(biased, place, best, choice); }
};

}  // namespace qmse
