// The formula of quartic.h. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace example {

struct QuarticFormula {
  double inverse_classes;

  template <class T>
  QMSE_HOST_DEVICE T value(T residual_sq) const {
    return T(0.25) * residual_sq * residual_sq + T(0.5) * static_cast<T>(inverse_classes) * residual_sq;
  }
  // Times r: the gradient with respect to f.
  template <class T>
  QMSE_HOST_DEVICE T factor(T residual_sq) const {
    return -(residual_sq + static_cast<T>(inverse_classes));
  }
};

inline QuarticFormula quartic_formula(std::int64_t classes) { return {1.0 / static_cast<double>(classes)}; }

}  // namespace example
