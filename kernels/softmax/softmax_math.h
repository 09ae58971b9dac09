// Softmax and log-softmax, one element each, given what their rows sum up to. C++17: included by device code.
#pragma once

#include <cmath>

#include "base/host_device.h"
#include "kernels/softmax/softmax.h"

namespace qmse {

// A row's largest value and sum of exp(x - largest).
template <class T>
struct SoftmaxRow {
  T largest;
  T sum;
};

// What is left after shifting by the row's maximum never overflows. A NaN in the row makes the sum NaN, and
// so the whole row, as in PyTorch.
template <class T>
QMSE_HOST_DEVICE inline T softmax_term(T x, T largest) {
  return std::exp(x - largest);
}

template <SoftmaxKind kind, class T>
QMSE_HOST_DEVICE inline T softmax_value(T x, const SoftmaxRow<T>& row) {
  if constexpr (kind == SoftmaxKind::softmax) {
    return softmax_term(x, row.largest) / row.sum;
  } else {
    return (x - row.largest) - std::log(row.sum);
  }
}

// The term of the row's sum that backward needs: <y, dy> for softmax, sum(dy) for log-softmax.
template <SoftmaxKind kind, class T>
QMSE_HOST_DEVICE inline T softmax_gradient_term(T y, T dy) {
  return kind == SoftmaxKind::softmax ? y * dy : dy;
}

template <SoftmaxKind kind, class T>
QMSE_HOST_DEVICE inline T softmax_gradient(T y, T dy, T sum) {
  if constexpr (kind == SoftmaxKind::softmax) {
    return y * (dy - sum);
  } else {
    return dy - std::exp(y) * sum;
  }
}

}  // namespace qmse
