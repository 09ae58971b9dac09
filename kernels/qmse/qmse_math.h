// The formulas of qmse.h. C++17: included by device code.
#pragma once

#include "base/host_device.h"

namespace qmse {

// a = <r + v, r>, from ||r||^2 and <v, r>.
template <class T>
QMSE_HOST_DEVICE T qmse_a(T residual_sq, T direction_residual) {
  return residual_sq + direction_residual;
}

// 1/2 r^T Q r.
template <class T>
QMSE_HOST_DEVICE T qmse_value(T a) {
  return T(0.5) * a * a;
}

// The gradient with respect to f is -a (m r + v), m being 1 for constant Q (-Qr) and 2 where Q is
// differentiated too.
template <class T>
QMSE_HOST_DEVICE T qmse_residual_multiple(bool full_gradient) {
  return full_gradient ? T(2) : T(1);
}
template <class T>
QMSE_HOST_DEVICE T qmse_gradient(T a, T residual_multiple, T r, T v) {
  return -a * (residual_multiple * r + v);
}

}  // namespace qmse
