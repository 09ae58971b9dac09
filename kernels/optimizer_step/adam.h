// Adam: PyTorch's torch.optim.Adam rule exactly (weight decay added to the gradient, amsgrad off).
//
//   g = gradient + weight_decay * w;  m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + epsilon),  t = 1 at the first step
//
// Rounded where PyTorch's kernels round: each of its operations on a whole tensor is one rounding here.
// C++17: included by device code.
#pragma once

#include "kernels/optimizer_step/optimizer_step.h"
#include "kernels/optimizer_step/rule_math.h"

namespace qmse {

struct AdamRule {
  static constexpr const char* kName = "adam";
  static constexpr const char* kLabel = "Adam";
  static constexpr double kUsualRate = 0.001;
  static constexpr const char* kStates[] = {"first_moment", "second_moment"};

  struct Hyper {
    double beta1 = 0.9;         // in [0, 1)
    double beta2 = 0.999;       // in [0, 1)
    double epsilon = 1e-8;      // a normal number of the weights' type, above 0
    double weight_decay = 0.0;  // finite, at least 0
  };
  template <class Numbers, class Visit>
  static void options(Numbers& hyper, Visit&& visit) {
    visit("beta1", hyper.beta1);
    visit("beta2", hyper.beta2);
    visit("epsilon", hyper.epsilon);
    visit("weight_decay", hyper.weight_decay);
  }
  template <class T>
  static void validate(const Hyper& hyper) {
    require_fraction("beta1 must be in [0, 1)", hyper.beta1);
    require_fraction("beta2 must be in [0, 1)", hyper.beta2);
    require_epsilon<T>(hyper.epsilon);
    require_weight_decay(hyper.weight_decay);
  }

  using Kept = KeptStates<3>;
  static unsigned kept(const Hyper&) { return 3; }

  template <class T>
  struct Step {
    T beta1, one_minus_beta1;
    T beta2, one_minus_beta2;
    T epsilon;
    T weight_decay;
    T step_size;                  // lr / (1 - beta1^t)
    T root_of_second_correction;  // sqrt(1 - beta2^t)

    Step() = default;
    // Bias corrections in f64, then in the buffer's type.
    QMSE_HOST_DEVICE Step(const Hyper& hyper, double learning_rate, std::uint64_t steps_taken)
        : beta1(static_cast<T>(hyper.beta1)),
          one_minus_beta1(static_cast<T>(1 - hyper.beta1)),
          beta2(static_cast<T>(hyper.beta2)),
          one_minus_beta2(static_cast<T>(1 - hyper.beta2)),
          epsilon(static_cast<T>(hyper.epsilon)),
          weight_decay(static_cast<T>(hyper.weight_decay)) {
      const double t = static_cast<double>(steps_taken) + 1;
      step_size = static_cast<T>(learning_rate / (1 - std::pow(hyper.beta1, t)));
      root_of_second_correction = static_cast<T>(std::sqrt(1 - std::pow(hyper.beta2, t)));
    }

    template <unsigned>
    QMSE_HOST_DEVICE void update(T gradient, T& w, T (&states)[kMaxOptimizerStates]) const {
      T &m = states[0], &s = states[1];
      const T g = decayed(weight_decay, w, gradient);
      m = std::fma(one_minus_beta1, g, beta1 * m);
      s = std::fma(one_minus_beta2 * g, g, beta2 * s);
      const T denominator = std::sqrt(s) / root_of_second_correction + epsilon;
      w -= step_size * m / denominator;
    }
  };
};

}  // namespace qmse
