#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/ranges.h"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax/softmax_math.h"

namespace qmse {
namespace {

template <SoftmaxKind kind, class T>
void forward_row(std::int64_t columns, const T* x, T* y) {
  SoftmaxRow<T> row{-std::numeric_limits<T>::infinity(), T(0)};
  for (std::int64_t j = 0; j < columns; ++j) row.largest = x[j] > row.largest ? x[j] : row.largest;
  double sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) sum += static_cast<double>(softmax_term(x[j], row.largest));
  row.sum = static_cast<T>(sum);
  for (std::int64_t j = 0; j < columns; ++j) y[j] = softmax_value<kind>(x[j], row);
}

template <SoftmaxKind kind, class T>
void backward_row(std::int64_t columns, const T* y, const T* dy, T* dx) {
  double sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    sum += static_cast<double>(softmax_gradient_term<kind>(y[j], dy[j]));
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    dx[j] = softmax_gradient<kind>(y[j], dy[j], static_cast<T>(sum));
  }
}

template <class T>
void forward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns, const T* x,
             T* y) {
  const auto run_row = kind == SoftmaxKind::softmax ? forward_row<SoftmaxKind::softmax, T>
                                                    : forward_row<SoftmaxKind::log_softmax, T>;
  for_ranges(context.threads(), rows, range_items(columns), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) run_row(columns, x + i * columns, y + i * columns);
  });
}

template <class T>
void backward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns, const T* y,
              const T* dy, T* dx) {
  const auto run_row = kind == SoftmaxKind::softmax ? backward_row<SoftmaxKind::softmax, T>
                                                    : backward_row<SoftmaxKind::log_softmax, T>;
  for_ranges(context.threads(), rows, range_items(columns), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      run_row(columns, y + i * columns, dy + i * columns, dx + i * columns);
    }
  });
}

}  // namespace

void softmax_forward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                     const float* x, float* y) {
  forward(context, kind, rows, columns, x, y);
}
void softmax_forward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                     const double* x, double* y) {
  forward(context, kind, rows, columns, x, y);
}

void softmax_backward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                      const float* y, const float* dy, float* dx) {
  backward(context, kind, rows, columns, y, dy, dx);
}
void softmax_backward(CpuContext& context, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                      const double* y, const double* dy, double* dx) {
  backward(context, kind, rows, columns, y, dy, dx);
}

}  // namespace qmse
