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

}  // namespace qmse
