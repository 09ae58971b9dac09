// Winograd's F(2, 3) of one row or column. Its two-dimensional form F(2x2, 3x3) is the same over rows and
// then over columns: y = A' ((G g G') * (B' d B)) A, a tile of 2x2 outputs from 4x4 inputs and a 3x3 kernel
// by 16 products (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016). Sums are added in the
// order written. C++17: included by device code.
#pragma once

#include "base/host_device.h"
#include "kernels/cpu/dispatch.h"

namespace qmse {
namespace QMSE_ISA {

// Inputs; T may be a vector of the CPU's. B' = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}
template <class T>
QMSE_HOST_DEVICE inline void winograd_input(T d0, T d1, T d2, T d3, T (&v)[4]) {
  v[0] = d0 - d2;
  v[1] = d1 + d2;
  v[2] = d2 - d1;
  v[3] = d1 - d3;
}

// Weights; T as for inputs. G = {{1, 0, 0}, {1/2, 1/2, 1/2}, {1/2, -1/2, 1/2}, {0, 0, 1}}
template <class T>
QMSE_HOST_DEVICE inline void winograd_weights(T g0, T g1, T g2, T (&u)[4]) {
  const T even = g0 + g2;
  u[0] = g0;
  u[1] = 0.5f * (even + g1);
  u[2] = 0.5f * (even - g1);
  u[3] = g2;
}

// Products to outputs; T as for inputs. A' = {{1, 1, 1, 0}, {0, 1, -1, -1}}
template <class T>
QMSE_HOST_DEVICE inline void winograd_output(T m0, T m1, T m2, T m3, T (&y)[2]) {
  y[0] = (m0 + m1) + m2;
  y[1] = (m1 - m2) - m3;
}

}  // namespace QMSE_ISA
}  // namespace qmse
