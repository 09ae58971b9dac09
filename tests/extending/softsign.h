// Softsign: y = x / (1 + |x|), element by element; dy/dx = 1 / (1 + |x|)^2 = (1 - |y|)^2.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace example {

// y may be x.
void softsign_forward(qmse::CpuContext&, std::int64_t n, const float* x, float* y);
void softsign_forward(qmse::CpuContext&, std::int64_t n, const double* x, double* y);
void softsign_forward(qmse::CudaContext&, std::int64_t n, const float* x, float* y);

// dx from the output y; dx may be dy.
void softsign_backward(qmse::CpuContext&, std::int64_t n, const float* y, const float* dy, float* dx);
void softsign_backward(qmse::CpuContext&, std::int64_t n, const double* y, const double* dy, double* dx);
void softsign_backward(qmse::CudaContext&, std::int64_t n, const float* y, const float* dy, float* dx);

}  // namespace example
