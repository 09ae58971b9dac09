// How the maximum of a pooling window is chosen. C++17: included by device code.
#pragma once

#include <cmath>

#include "base/host_device.h"

namespace qmse {

// Visits a window's values in row order. The first of equal maxima stays; a NaN replaces whatever was there,
// so that the last NaN wins, and no number replaces a NaN: PyTorch's rule.
template <class T>
QMSE_HOST_DEVICE inline void pool_visit(T value, int place, T& best, int& choice) {
  const bool wins = value > best || value != value;
  best = wins ? value : best;
  choice = wins ? place : choice;
}

// A window's state while its values are visited.
template <class T>
struct MaxPoolWindow {
  T best = -static_cast<T>(INFINITY);
  int choice = 0;

  QMSE_HOST_DEVICE void visit(T value, int place) { pool_visit(value, place, best, choice); }
};

}  // namespace qmse
