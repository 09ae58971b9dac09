// RMSprop: PyTorch's torch.optim.RMSprop rule exactly.
//
//   g = gradient + weight_decay * w;  s = alpha s + (1 - alpha) g^2;  a = alpha a + (1 - alpha) g (centered)
//   d = g / (sqrt(centered ? s - a^2 : s) + epsilon);  b = momentum b + d;  w -= lr * (momentum ? b : d)
//
// Rounded where PyTorch's kernels round: each of its operations on a whole tensor is one rounding here.
// C++17: included by device code.
#pragma once

#include "kernels/optimizer_step/optimizer_step.h"
#include "kernels/optimizer_step/rule_math.h"

namespace qmse {

struct RmspropRule {
  static constexpr const char* kName = "rmsprop";
  static constexpr const char* kLabel = "RMSprop";
  static constexpr double kUsualRate = 0.01;
  static constexpr const char* kStates[] = {"square_average", "momentum", "gradient_average"};

  struct Hyper {
    double alpha = 0.99;        // in [0, 1)
    double epsilon = 1e-8;      // a normal number of the weights' type, above 0
    double weight_decay = 0.0;  // finite, at least 0
    double momentum = 0.0;      // in [0, 1)
    bool centered = false;      // divide by the deviation, not by the root of the mean square
  };
  template <class Numbers, class Visit>
  static void options(Numbers& hyper, Visit&& visit) {
    visit("rmsprop_alpha", hyper.alpha);
    visit("epsilon", hyper.epsilon);
    visit("weight_decay", hyper.weight_decay);
    visit("rmsprop_momentum", hyper.momentum);
    visit("rmsprop_centered", hyper.centered);
  }
  template <class T>
  static void validate(const Hyper& hyper) {
    require_fraction("alpha must be in [0, 1)", hyper.alpha);
    require_epsilon<T>(hyper.epsilon);
    require_weight_decay(hyper.weight_decay);
    require_fraction("momentum must be in [0, 1)", hyper.momentum);
  }

  static constexpr unsigned kMomentum = 2, kCentered = 4;  // bits of the buffers that are not always kept
  using Kept = KeptStates<1, 1 | kMomentum, 1 | kCentered, 1 | kMomentum | kCentered>;
  static unsigned kept(const Hyper& hyper) {
    return 1 | (hyper.momentum != 0 ? kMomentum : 0) | (hyper.centered ? kCentered : 0);
  }

  template <class T>
  struct Step {
    T learning_rate;
    T alpha, one_minus_alpha;
    T epsilon;
    T weight_decay;
    T momentum;

    Step() = default;
    QMSE_HOST_DEVICE Step(const Hyper& hyper, double rate, std::uint64_t)
        : learning_rate(static_cast<T>(rate)),
          alpha(static_cast<T>(hyper.alpha)),
          one_minus_alpha(static_cast<T>(1 - hyper.alpha)),
          epsilon(static_cast<T>(hyper.epsilon)),
          weight_decay(static_cast<T>(hyper.weight_decay)),
          momentum(static_cast<T>(hyper.momentum)) {}

    template <unsigned kept>
    QMSE_HOST_DEVICE void update(T gradient, T& w, T (&states)[kMaxOptimizerStates]) const {
      T& s = states[0];
      const T g = decayed(weight_decay, w, gradient);
      s = std::fma(one_minus_alpha * g, g, rounded_product(alpha, s));
      T square = s;
      if constexpr ((kept & kCentered) != 0) {
        T& average = states[2];
        average = std::fma(one_minus_alpha, g - average, average);
        square = std::fma(-average, average, s);
      }
      const T root = std::sqrt(square) + epsilon;
      if constexpr ((kept & kMomentum) != 0) {
        T& buffer = states[1];
        buffer = rounded_product(momentum, buffer) + g / root;
        w = std::fma(-learning_rate, buffer, w);
      } else {
        w -= rounded_product(learning_rate, g) / root;
      }
    }
  };
};

}  // namespace qmse
