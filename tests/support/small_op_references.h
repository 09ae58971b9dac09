// The small operations in f64, written for clarity and apart from the library's formulas, for its tests on
// every backend.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/bias_activation/bias_activation.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "tests/support/numbers.h"

namespace qmse::test {

inline double reference_activation(Activation activation, double x) {
  if (activation == Activation::relu) return std::isnan(x) ? x : std::fmax(x, 0.0);
  if (activation == Activation::tanh) return (std::exp(2 * x) - 1) / (std::exp(2 * x) + 1);
  if (activation == Activation::sigmoid) return std::exp(x) / (1 + std::exp(x));
  return x;
}

// dx from dy and the outputs, which the derivatives are functions of.
template <class T>
Numbers reference_activation_backward(Activation activation, const std::vector<T>& y,
                                      const std::vector<T>& dy) {
  Numbers dx(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double out = y[i];
    const double slope = activation == Activation::relu      ? (out > 0 ? 1.0 : 0.0)
                         : activation == Activation::tanh    ? 1 - out * out
                         : activation == Activation::sigmoid ? out * (1 - out)
                                                             : 1.0;
    dx[i] = dy[i] * slope;
  }
  return dx;
}

// bias may be empty.
inline Numbers reference_bias_activation(const BiasShape& shape, Activation activation, const Numbers& x,
                                         const Numbers& bias) {
  Numbers y(x.size());
  for (std::int64_t n = 0; n < shape.batch; ++n) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      for (std::int64_t i = 0; i < shape.inner; ++i) {
        const auto at = static_cast<std::size_t>((n * shape.channels + c) * shape.inner + i);
        const double shift = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(c)];
        y[at] = reference_activation(activation, x[at] + shift);
      }
    }
  }
  return y;
}

inline Numbers reference_bias_gradient(const BiasShape& shape, const Numbers& dy) {
  Numbers db(static_cast<std::size_t>(shape.channels), 0.0);
  for (std::size_t at = 0; at < dy.size(); ++at) {
    db[at / static_cast<std::size_t>(shape.inner) % static_cast<std::size_t>(shape.channels)] += dy[at];
  }
  return db;
}

struct Pooled {
  Numbers y;
  std::vector<std::uint8_t> choice;
};

// Position of element (row, column) of plane `plane` of an image of the given size.
inline std::size_t pixel(std::int64_t plane, std::int64_t row, std::int64_t column, std::int64_t height,
                         std::int64_t width) {
  return static_cast<std::size_t>((plane * height + row) * width + column);
}

// Finite values only.
inline Pooled reference_max_pool(const MaxPool2dShape& shape, const Numbers& x) {
  Pooled pooled;
  for (std::int64_t plane = 0; plane < shape.batch * shape.channels; ++plane) {
    for (std::int64_t row = 0; row < shape.out_height(); ++row) {
      for (std::int64_t column = 0; column < shape.out_width(); ++column) {
        Numbers window;
        for (std::int64_t place = 0; place < shape.window * shape.window; ++place) {
          window.push_back(
              x[pixel(plane, row * shape.window + place / shape.window,
                      column * shape.window + place % shape.window, shape.in_height, shape.in_width)]);
        }
        const auto largest = std::max_element(window.begin(), window.end());  // the first of equals
        pooled.y.push_back(*largest);
        pooled.choice.push_back(static_cast<std::uint8_t>(largest - window.begin()));
      }
    }
  }
  return pooled;
}

inline Numbers reference_max_pool_backward(const MaxPool2dShape& shape, const Numbers& dy,
                                           const std::vector<std::uint8_t>& choice) {
  Numbers dx(static_cast<std::size_t>(shape.batch * shape.channels * shape.in_height * shape.in_width), 0.0);
  std::size_t out = 0;
  for (std::int64_t plane = 0; plane < shape.batch * shape.channels; ++plane) {
    for (std::int64_t row = 0; row < shape.out_height(); ++row) {
      for (std::int64_t column = 0; column < shape.out_width(); ++column, ++out) {
        if (choice[out] >= shape.window * shape.window) continue;
        dx[pixel(plane, row * shape.window + choice[out] / shape.window,
                 column * shape.window + choice[out] % shape.window, shape.in_height, shape.in_width)] =
            dy[out];
      }
    }
  }
  return dx;
}

// torch.optim.SGD's rule (dampening 0) as its documentation writes it.
struct ReferenceSgd {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
  Numbers w, velocity = {};
  bool first_step = true;

  void step(const Numbers& gradient, double rate) {
    if (velocity.empty()) velocity.assign(w.size(), 0.0);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = gradient[i] + weight_decay * w[i];
      velocity[i] = first_step ? g : momentum * velocity[i] + g;
      w[i] -= rate * (nesterov ? g + momentum * velocity[i] : velocity[i]);
    }
    first_step = false;
  }
};

// torch.optim.Adam's rule as its documentation writes it.
struct ReferenceAdam {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  Numbers w, m = {}, v = {};
  int t = 0;

  void step(const Numbers& gradient, double rate) {
    if (m.empty()) m.assign(w.size(), 0.0), v.assign(w.size(), 0.0);
    ++t;
    double beta1_to_t = 1, beta2_to_t = 1;
    for (int k = 0; k < t; ++k) beta1_to_t *= beta1, beta2_to_t *= beta2;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = gradient[i] + weight_decay * w[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const double m_hat = m[i] / (1 - beta1_to_t), v_hat = v[i] / (1 - beta2_to_t);
      w[i] -= rate * m_hat / (std::sqrt(v_hat) + epsilon);
    }
  }
};

// torch.optim.RMSprop's rule as its documentation writes it.
struct ReferenceRmsprop {
  double alpha = 0.99, epsilon = 1e-8, weight_decay = 0, momentum = 0;
  bool centered = false;
  Numbers w, v = {}, buffer = {}, average = {};

  void step(const Numbers& gradient, double rate) {
    if (v.empty()) v.assign(w.size(), 0.0), buffer = average = v;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = gradient[i] + weight_decay * w[i];
      v[i] = alpha * v[i] + (1 - alpha) * g * g;
      double v_tilde = v[i];
      if (centered) {
        average[i] = alpha * average[i] + (1 - alpha) * g;
        v_tilde -= average[i] * average[i];
      }
      const double direction = g / (std::sqrt(v_tilde) + epsilon);
      if (momentum > 0) {
        buffer[i] = momentum * buffer[i] + direction;
        w[i] -= rate * buffer[i];
      } else {
        w[i] -= rate * direction;
      }
    }
  }
};

inline double reference_sum_of_squares(const Numbers& x) {
  long double sum = 0;
  for (const double value : x) sum += static_cast<long double>(value) * value;
  return static_cast<double>(sum);
}

}  // namespace qmse::test
