// Mean squared error: 1/2 ||r||^2 a sample. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace qmse {

struct MseRule {
  static constexpr const char* kName = "mse";
  static constexpr const char* kLabel = "MSE";
  static double value_of_zeros(double) { return 0.5; }

  explicit MseRule(std::int64_t) {}

  template <class T>
  QMSE_HOST_DEVICE T value(T residual_sq) const {
    return T(0.5) * residual_sq;
  }
  template <class T>
  QMSE_HOST_DEVICE T factor(T) const {
    return T(-1);
  }
};

}  // namespace qmse
