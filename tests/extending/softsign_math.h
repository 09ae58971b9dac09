// The formula of softsign.h. C++17: included by device code.
#pragma once

#include <cmath>

#include "base/host_device.h"

namespace example {

template <class T>
QMSE_HOST_DEVICE T softsign(T x) {
  return x / (T(1) + std::fabs(x));
}

template <class T>
QMSE_HOST_DEVICE T softsign_gradient(T y, T dy) {
  const T slope = T(1) - std::fabs(y);
  return dy * slope * slope;
}

}  // namespace example
