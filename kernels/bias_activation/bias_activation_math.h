// The activations and their gradients, one element each. C++17: included by device code.
//
// ReLU is x <= 0 ? +0 : x: never -0, and a NaN goes through, as in PyTorch, so that a run that has diverged
// shows it. Everything that applies ReLU on any backend follows this.
#pragma once

#include <cmath>
#include <type_traits>

#include "base/host_device.h"
#include "kernels/bias_activation/activation.h"

namespace qmse {

template <Activation activation, class T>
QMSE_HOST_DEVICE inline T activate(T x) {
  if constexpr (activation == Activation::relu) {
    return x <= T(0) ? T(0) : x;
  } else if constexpr (activation == Activation::tanh) {
    return std::tanh(x);
  } else if constexpr (activation == Activation::sigmoid) {
    return T(1) / (T(1) + std::exp(-x));
  } else {
    return x;
  }
}

// dy * activation'(x) from y = activation(x). The gradient of ReLU at 0 is 0.
template <Activation activation, class T>
QMSE_HOST_DEVICE inline T activation_gradient(T y, T dy) {
  if constexpr (activation == Activation::relu) {
    return y <= T(0) ? T(0) : dy;
  } else if constexpr (activation == Activation::tanh) {
    return dy * (T(1) - y * y);
  } else if constexpr (activation == Activation::sigmoid) {
    return dy * ((T(1) - y) * y);
  } else {
    return dy;
  }
}

// Calls body(std::integral_constant<Activation, activation>): from the run-time choice to the
// templates above.
template <class Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::identity:
      return body(std::integral_constant<Activation, Activation::identity>());
    case Activation::relu:
      return body(std::integral_constant<Activation, Activation::relu>());
    case Activation::tanh:
      return body(std::integral_constant<Activation, Activation::tanh>());
    case Activation::sigmoid:
      return body(std::integral_constant<Activation, Activation::sigmoid>());
  }
}

}  // namespace qmse
