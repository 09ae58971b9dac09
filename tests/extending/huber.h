// Huber's loss with delta = 1, summed over the outputs: 1/2 r^2 where |r| <= 1, else |r| - 1/2. C++17:
// included by device code.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace example {

struct HuberRule {
  static constexpr const char* kName = "huber";
  static constexpr const char* kLabel = "Huber";
  static double value_of_zeros(double) { return 0.5; }

  explicit HuberRule(std::int64_t) {}

  template <class T>
  QMSE_HOST_DEVICE T element_value(T r) const {
    const T size = std::fabs(r);
    return size <= T(1) ? T(0.5) * r * r : size - T(0.5);
  }
  template <class T>
  QMSE_HOST_DEVICE T element_gradient(T r) const {
    return std::fabs(r) <= T(1) ? -r : std::copysign(T(1), -r);
  }
};

}  // namespace example
