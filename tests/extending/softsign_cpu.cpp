#include "kernels/cpu/ranges.h"
#include "tests/extending/softsign.h"

namespace example {
namespace {

template <class T>
void forward(qmse::CpuContext& context, std::int64_t n, const T* x, T* y) {
  qmse::for_ranges(context.threads(), n, qmse::kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = softsign(x[i]);
  });
}

template <class T>
void backward(qmse::CpuContext& context, std::int64_t n, const T* y, const T* dy, T* dx) {
  qmse::for_ranges(context.threads(), n, qmse::kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) dx[i] = softsign_gradient(y[i], dy[i]);
  });
}

}  // namespace

void softsign_forward(qmse::CpuContext& context, std::int64_t n, const float* x, float* y) {
  forward(context, n, x, y);
}
void softsign_forward(qmse::CpuContext& context, std::int64_t n, const double* x, double* y) {
  forward(context, n, x, y);
}
void softsign_backward(qmse::CpuContext& context, std::int64_t n, const float* y, const float* dy,
                       float* dx) {
  backward(context, n, y, dy, dx);
}
void softsign_backward(qmse::CpuContext& context, std::int64_t n, const double* y, const double* dy,
                       double* dx) {
  backward(context, n, y, dy, dx);
}

}  // namespace example
