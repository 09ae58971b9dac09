// QMSE without its noise: value 1/2 (||r||^4 + ||r||^2 / c) and gradient -(||r||^2 + 1/c) r a sample, the
// expectations over v (on the unit sphere, and for Rademacher) of QMSE's value and of its gradient with
// constant Q. That is MSE with each sample weighted by ||r||^2 + 1/c, the weight not differentiated, and not
// the gradient of that value (docs/theory.md). C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace qmse {

struct QmseExpectedRule {
  static constexpr const char* kName = "qmse_expected";
  static constexpr const char* kLabel = "QMSE without noise";
  static double value_of_zeros(double c) { return 0.5 * (1 + 1 / c); }

  std::int32_t classes;

  explicit QmseExpectedRule(std::int64_t c) : classes(static_cast<std::int32_t>(c)) {}

  template <class T>
  QMSE_HOST_DEVICE T value(T residual_sq) const {
    return T(0.5) * residual_sq * (residual_sq + T(1) / T(classes));
  }
  template <class T>
  QMSE_HOST_DEVICE T factor(T residual_sq) const {
    return -(residual_sq + T(1) / T(classes));
  }
};

}  // namespace qmse
