// Softmax and log-softmax over the rows of x [rows, columns], shifted by the row's maximum.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

enum class SoftmaxKind { softmax, log_softmax };

// y may be x.
void softmax_forward(CpuContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const float* x,
                     float* y);
void softmax_forward(CpuContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const double* x,
                     double* y);
void softmax_forward(CudaContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const float* x,
                     float* y);

// From the output y: softmax dx = y (dy - <y, dy>), log-softmax dx = dy - exp(y) sum(dy). dx may be dy.
void softmax_backward(CpuContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const float* y,
                      const float* dy, float* dx);
void softmax_backward(CpuContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const double* y,
                      const double* dy, double* dx);
void softmax_backward(CudaContext&, SoftmaxKind, std::int64_t rows, std::int64_t columns, const float* y,
                      const float* dy, float* dx);

}  // namespace qmse
