// SGD with momentum, Nesterov and weight decay: PyTorch's torch.optim.SGD rule exactly.
//
//   g = gradient + weight_decay * w;  m = momentum * m + g;  w -= lr * (nesterov ? g + momentum * m : m)
//
// (m starts at zero, which gives PyTorch's first step; without momentum there is no m.) Rounded where
// PyTorch's kernels round: each of its operations on a whole tensor is one rounding here. C++17: included by
// device code.
#pragma once

#include "kernels/optimizer_step/optimizer_step.h"
#include "kernels/optimizer_step/rule_math.h"

namespace qmse {

struct SgdRule {
  static constexpr const char* kName = "sgd";
  static constexpr const char* kLabel = "SGD";
  static constexpr double kUsualRate = 0.01;
  static constexpr const char* kStates[] = {"momentum"};

  struct Hyper {
    double momentum = 0.0;      // in [0, 1)
    double weight_decay = 0.0;  // finite, at least 0
    bool nesterov = false;      // needs momentum
  };
  template <class Numbers, class Visit>
  static void options(Numbers& hyper, Visit&& visit) {
    visit("momentum", hyper.momentum);
    visit("weight_decay", hyper.weight_decay);
    visit("nesterov", hyper.nesterov);
  }
  template <class T>
  static void validate(const Hyper& hyper) {
    require_fraction("momentum must be in [0, 1)", hyper.momentum);
    require_weight_decay(hyper.weight_decay);
    if (hyper.nesterov && hyper.momentum == 0) throw ConfigError("nesterov needs a momentum above 0");
  }

  using Kept = KeptStates<0, 1>;
  static unsigned kept(const Hyper& hyper) { return hyper.momentum != 0 ? 1 : 0; }

  template <class T>
  struct Step {
    T learning_rate;
    T momentum;
    T weight_decay;
    bool nesterov;

    Step() = default;
    QMSE_HOST_DEVICE Step(const Hyper& hyper, double rate, std::uint64_t)
        : learning_rate(static_cast<T>(rate)),
          momentum(static_cast<T>(hyper.momentum)),
          weight_decay(static_cast<T>(hyper.weight_decay)),
          nesterov(hyper.nesterov) {}

    template <unsigned kept>
    QMSE_HOST_DEVICE void update(T gradient, T& w, T (&states)[kMaxOptimizerStates]) const {
      T g = decayed(weight_decay, w, gradient);
      if constexpr (kept != 0) {
        T& m = states[0];
        m = rounded_product(momentum, m) + g;
        g = nesterov ? std::fma(momentum, m, g) : m;
      }
      w = std::fma(-learning_rate, g, w);
    }
  };
};

}  // namespace qmse
