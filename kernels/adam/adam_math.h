// The Adam rule for one element, rounded where PyTorch's kernels round: each of its operations on a whole
// tensor is one rounding here. C++17: included by device code.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/adam/adam.h"
#include "kernels/core/host_device.h"

namespace qmse {

// The numbers of one step: bias corrections in f64, then in the buffer's type.
template <class T>
struct AdamRule {
  T beta1, one_minus_beta1;
  T beta2, one_minus_beta2;
  T epsilon;
  T weight_decay;
  T step_size;                  // lr / (1 - beta1^t)
  T root_of_second_correction;  // sqrt(1 - beta2^t)

  AdamRule() = default;  // uninitialised: may lie in shared memory
  // `steps_taken` is t - 1.
  QMSE_HOST_DEVICE AdamRule(const AdamHyper& hyper, double learning_rate, std::uint64_t steps_taken)
      : beta1(static_cast<T>(hyper.beta1)),
        one_minus_beta1(static_cast<T>(1 - hyper.beta1)),
        beta2(static_cast<T>(hyper.beta2)),
        one_minus_beta2(static_cast<T>(1 - hyper.beta2)),
        epsilon(static_cast<T>(hyper.epsilon)),
        weight_decay(static_cast<T>(hyper.weight_decay)) {
    const double t = static_cast<double>(steps_taken) + 1;
    step_size = static_cast<T>(learning_rate / (1 - std::pow(hyper.beta1, t)));
    root_of_second_correction = static_cast<T>(std::sqrt(1 - std::pow(hyper.beta2, t)));
  }

  QMSE_HOST_DEVICE void update(T gradient, T& w, T& m, T& s) const {
    // Left out at zero, as PyTorch does: 0 * w is NaN where w has overflowed.
    const T g = weight_decay != T(0) ? std::fma(weight_decay, w, gradient) : gradient;
    m = std::fma(one_minus_beta1, g, beta1 * m);
    s = std::fma(one_minus_beta2 * g, g, beta2 * s);
    const T denominator = std::sqrt(s) / root_of_second_correction + epsilon;
    w -= step_size * m / denominator;
  }
};

}  // namespace qmse
