// The SGD rule for one element, rounded where PyTorch's kernels round: each of its operations on a whole
// tensor is one rounding here. C++17: included by device code.
#pragma once

#include <cmath>

#include "kernels/core/host_device.h"
#include "kernels/core/rounded_product.h"
#include "kernels/sgd/sgd.h"

namespace qmse {

// The numbers of SgdHyper in the buffer's type.
template <class T>
struct SgdRule {
  T learning_rate;
  T momentum;
  T weight_decay;
  bool nesterov;

  QMSE_HOST_DEVICE SgdRule(const SgdHyper& hyper, double rate)
      : learning_rate(static_cast<T>(rate)),
        momentum(static_cast<T>(hyper.momentum)),
        weight_decay(static_cast<T>(hyper.weight_decay)),
        nesterov(hyper.nesterov) {}

  // Without momentum, m is not touched.
  template <bool with_momentum>
  QMSE_HOST_DEVICE void update(T gradient, T& w, T& m) const {
    // Left out at zero, as PyTorch does: 0 * w is NaN where w has overflowed.
    T g = weight_decay != T(0) ? std::fma(weight_decay, w, gradient) : gradient;
    if constexpr (with_momentum) {
      m = rounded_product(momentum, m) + g;
      g = nesterov ? std::fma(momentum, m, g) : m;
    }
    w = std::fma(-learning_rate, g, w);
  }
};

}  // namespace qmse
