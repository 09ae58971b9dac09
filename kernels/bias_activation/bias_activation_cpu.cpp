#include <algorithm>
#include <cstdint>

#include "kernels/bias_activation/bias_activation.h"
#include "kernels/bias_activation/bias_activation_math.h"
#include "kernels/cpu/lane_sum.h"
#include "kernels/cpu/ranges.h"

namespace qmse {
namespace {

template <class T>
void forward(CpuContext& context, const BiasShape& shape, Activation activation, const T* x, const T* bias,
             T* y) {
  with_activation(activation, [&](auto chosen) {
    constexpr Activation kActivation = decltype(chosen)::value;
    if (bias == nullptr) {
      const std::int64_t n = shape.batch * shape.channels * shape.inner;
      for_ranges(context.threads(), n, kRangeElements, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) y[i] = activate<kActivation>(x[i]);
      });
    } else if (shape.inner == 1) {
      const std::int64_t channels = shape.channels;
      for_ranges(context.threads(), shape.batch, range_items(channels),
                 [=](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     const T* from = x + row * channels;
                     T* to = y + row * channels;
                     for (std::int64_t c = 0; c < channels; ++c) {
                       to[c] = activate<kActivation>(from[c] + bias[c]);
                     }
                   }
                 });
    } else {
      const std::int64_t channels = shape.channels, inner = shape.inner;
      for_ranges(context.threads(), shape.batch * channels, range_items(inner),
                 [=](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t plane = begin; plane < end; ++plane) {
                     const T shift = bias[plane % channels];
                     const T* from = x + plane * inner;
                     T* to = y + plane * inner;
                     for (std::int64_t i = 0; i < inner; ++i) to[i] = activate<kActivation>(from[i] + shift);
                   }
                 });
    }
  });
}

template <class T>
void backward(CpuContext& context, std::int64_t n, Activation activation, const T* y, const T* dy, T* dx) {
  with_activation(activation, [&](auto chosen) {
    constexpr Activation kActivation = decltype(chosen)::value;
    for_ranges(context.threads(), n, kRangeElements, [=](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) dx[i] = activation_gradient<kActivation>(y[i], dy[i]);
    });
  });
}

template <class T>
void gradient_of_planes(CpuContext& context, const BiasShape& shape, const T* dy, T* db) {
  context.threads().run(shape.channels, [&](std::int64_t channel, int) {
    double total = 0;
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      const T* plane = dy + (n * shape.channels + channel) * shape.inner;
      total += lane_sum(shape.inner, [=](std::int64_t i) { return static_cast<double>(plane[i]); });
    }
    db[channel] = static_cast<T>(total);
  });
}

template <class T>
void gradient_of_columns(CpuContext& context, const BiasShape& shape, const T* dy, T* db) {
  constexpr std::int64_t kColumns = 32;
  for_ranges(context.threads(), shape.channels, kColumns, [&](std::int64_t begin, std::int64_t end) {
    double totals[kColumns] = {};
    if (end - begin == kColumns) {
      for (std::int64_t n = 0; n < shape.batch; ++n) {
        const T* row = dy + n * shape.channels + begin;
        for (std::int64_t c = 0; c < kColumns; ++c) totals[c] += static_cast<double>(row[c]);
      }
    } else {
      for (std::int64_t n = 0; n < shape.batch; ++n) {
        const T* row = dy + n * shape.channels + begin;
        for (std::int64_t c = 0; c < end - begin; ++c) totals[c] += static_cast<double>(row[c]);
      }
    }
    for (std::int64_t c = begin; c < end; ++c) db[c] = static_cast<T>(totals[c - begin]);
  });
}

template <class T>
void gradient(CpuContext& context, const BiasShape& shape, const T* dy, T* db) {
  if (shape.inner == 1) {
    gradient_of_columns(context, shape, dy, db);
  } else {
    gradient_of_planes(context, shape, dy, db);
  }
}

}  // namespace

void bias_activation_forward(CpuContext& context, const BiasShape& shape, Activation activation,
                             const float* x, const float* bias, float* y) {
  forward(context, shape, activation, x, bias, y);
}
void bias_activation_forward(CpuContext& context, const BiasShape& shape, Activation activation,
                             const double* x, const double* bias, double* y) {
  forward(context, shape, activation, x, bias, y);
}

void activation_backward(CpuContext& context, std::int64_t n, Activation activation, const float* y,
                         const float* dy, float* dx) {
  backward(context, n, activation, y, dy, dx);
}
void activation_backward(CpuContext& context, std::int64_t n, Activation activation, const double* y,
                         const double* dy, double* dx) {
  backward(context, n, activation, y, dy, dx);
}

void bias_gradient(CpuContext& context, const BiasShape& shape, const float* dy, float* db) {
  gradient(context, shape, dy, db);
}
void bias_gradient(CpuContext& context, const BiasShape& shape, const double* dy, double* db) {
  gradient(context, shape, dy, db);
}

}  // namespace qmse
