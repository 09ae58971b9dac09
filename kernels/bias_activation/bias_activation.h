// Bias and activation in one pass, and their gradients. Tensors are [N, C, inner]: inner is H*W behind a
// convolution and 1 behind a linear layer.
#pragma once

#include <cstdint>

#include "device/context.h"
#include "kernels/bias_activation/activation.h"

namespace qmse {

struct BiasShape {
  std::int64_t batch = 0, channels = 0, inner = 1;
};

// y = activation(x + bias[channel]); bias may be null; y may be x.
void bias_activation_forward(CpuContext&, const BiasShape&, Activation, const float* x, const float* bias,
                             float* y);
void bias_activation_forward(CpuContext&, const BiasShape&, Activation, const double* x, const double* bias,
                             double* y);
template <class Gpu>
void bias_activation_forward(Gpu&, const BiasShape&, Activation, const float* x, const float* bias, float* y);

// dx = dy * activation'(x), from the activation's output y (relu: y > 0; tanh: 1 - y^2; sigmoid: y(1 - y));
// dx may be dy.
void activation_backward(CpuContext&, std::int64_t n, Activation, const float* y, const float* dy, float* dx);
void activation_backward(CpuContext&, std::int64_t n, Activation, const double* y, const double* dy,
                         double* dx);
template <class Gpu>
void activation_backward(Gpu&, std::int64_t n, Activation, const float* y, const float* dy, float* dx);

// db[c] = sum over batch and inner of dy, in an order fixed by the shape alone.
void bias_gradient(CpuContext&, const BiasShape&, const float* dy, float* db);
void bias_gradient(CpuContext&, const BiasShape&, const double* dy, double* db);
template <class Gpu>
void bias_gradient(Gpu&, const BiasShape&, const float* dy, float* db);

}  // namespace qmse
