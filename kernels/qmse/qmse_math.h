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

// A loss that draws v is a rule: what it makes of a row's ||r||^2 and <v, r>, and of an output's r and v.
struct QmseRule {
  float residual_multiple;

  template <class T>
  struct Factors {
    T a;

    template <class U>
    Factors<U> as() const {
      return {static_cast<U>(a)};
    }
  };
  template <class T>
  QMSE_HOST_DEVICE T value(T residual_sq, T direction_residual) const {
    return qmse_value(qmse_a(residual_sq, direction_residual));
  }
  // Times the gradient's scale.
  template <class T>
  QMSE_HOST_DEVICE Factors<T> factors(T residual_sq, T direction_residual, T scale) const {
    return {qmse_a(residual_sq, direction_residual) * scale};
  }
  template <class T>
  QMSE_HOST_DEVICE T gradient(const Factors<T>& factors, T r, T v) const {
    return qmse_gradient(factors.a, T(residual_multiple), r, v);
  }
};

}  // namespace qmse
