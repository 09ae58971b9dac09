// C++17: included by device code. Softsign: y = x / (1 + |x|), element by element; dy/dx = 1 / (1 + |x|)^2 =
// (1 - |y|)^2.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"
#include "device/context.h"

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

// y may be x.
void softsign_forward(qmse::CpuContext&, std::int64_t n, const float* x, float* y);
void softsign_forward(qmse::CpuContext&, std::int64_t n, const double* x, double* y);
template <class Gpu>
void softsign_forward(Gpu&, std::int64_t n, const float* x, float* y);

// dx from the output y; dx may be dy.
void softsign_backward(qmse::CpuContext&, std::int64_t n, const float* y, const float* dy, float* dx);
void softsign_backward(qmse::CpuContext&, std::int64_t n, const double* y, const double* dy, double* dx);
template <class Gpu>
void softsign_backward(Gpu&, std::int64_t n, const float* y, const float* dy, float* dx);

}  // namespace example
