// What reductions test and fold, one element each. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace qmse {

// False for NaN and the infinities: only finite numbers cancel themselves.
template <class T>
QMSE_HOST_DEVICE inline bool is_finite(T x) {
  return x - x == T(0);
}

// Whether an optimizer leaves everything as it is: only where it is given `halt`, and that stands at 0 or
// above or the gradient is not finite.
QMSE_HOST_DEVICE inline bool halted(const std::int64_t* halt, double gradient_norm_sq) {
  return halt != nullptr && (*halt >= 0 || !is_finite(gradient_norm_sq));
}

}  // namespace qmse
