// The formulas of mse_noise.h, as QmseRule has them of QMSE. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace qmse {

struct MseNoiseRule {
  std::int32_t classes;

  template <class T>
  struct Factors {
    T of_r, of_v;

    template <class U>
    Factors<U> as() const {
      return {static_cast<U>(of_r), static_cast<U>(of_v)};
    }
  };
  template <class T>
  QMSE_HOST_DEVICE T value(T residual_sq, T) const {
    return T(0.5) * residual_sq;
  }
  // Times the gradient's scale.
  template <class T>
  QMSE_HOST_DEVICE Factors<T> factors(T residual_sq, T direction_residual, T scale) const {
    return {(T(1) - T(1) / T(classes) + direction_residual) * scale,
            (residual_sq + direction_residual) * scale};
  }
  template <class T>
  QMSE_HOST_DEVICE T gradient(const Factors<T>& factors, T r, T v) const {
    return -(factors.of_r * r + factors.of_v * v);
  }
};

}  // namespace qmse
