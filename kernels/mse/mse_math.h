// The formula of mse.h. C++17: included by device code.
#pragma once

#include "base/host_device.h"

namespace qmse {

// A loss that depends on r through ||r||^2 alone: `value` is the loss, `factor` times r its gradient with
// respect to f.
struct MseFormula {
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
