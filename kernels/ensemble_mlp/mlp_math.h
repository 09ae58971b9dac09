// Activations and losses of small f64 networks: the formulas that the CPU (analysis/mlp/mlp.h), four samples
// at a time, and the GPU, one, share to the bit. C++17: included by device code.
#pragma once

#include <array>
#include <cstdint>

#include "base/choice.h"
#include "kernels/ensemble_mlp/elementary_math.h"

namespace qmse {

enum class HiddenActivation : std::int32_t { identity, relu, leaky_relu, tanh, sigmoid };
constexpr std::array<Choice<HiddenActivation>, 5> choices(HiddenActivation) {
  return {{{HiddenActivation::tanh, "tanh"},
           {HiddenActivation::sigmoid, "sigmoid"},
           {HiddenActivation::relu, "relu"},
           {HiddenActivation::leaky_relu, "leaky_relu"},
           {HiddenActivation::identity, "identity"}}};
}

// loss(f, y) with r = y - f and c outputs:
//   mse             ||r||^2 / 2
//   bce             sum of ln(1 + e^f) - y f: binary cross-entropy of a logit, y in [0, 1]
//   expected_qmse   ||r||^4 / 4 + ||r||^2 / (2 c): the potential of QMSE's expected step
//   qmse            the value (||r||^2 + <v, r>)^2 / 2 and the step -(||r||^2 + <v, r>)(r + v), for
//   directions v
enum class MlpLoss : std::int32_t { mse, bce, expected_qmse, qmse };
constexpr std::array<Choice<MlpLoss>, 4> choices(MlpLoss) {
  return {{{MlpLoss::mse, "mse"},
           {MlpLoss::bce, "bce"},
           {MlpLoss::expected_qmse, "expected_qmse"},
           {MlpLoss::qmse, "qmse"}}};
}

// Samples that are worked on together, at most: a layer of 100 units and its gradient fit into a CPU's cache.
constexpr std::int64_t kMlpChunk = 128;

// a(u), and its first and second derivative.
template <class V>
struct ActivationPoint {
  V value, slope, bend;
};

template <HiddenActivation kActivation, class V>
QMSE_HOST_DEVICE inline ActivationPoint<V> activation_at(V u, double leak) {
  using Lanes = LanesOf<V>;
  const V zero = Lanes::set(0.0), one = Lanes::set(1.0);
  if constexpr (kActivation == HiddenActivation::identity) return {u, one, zero};
  if constexpr (kActivation == HiddenActivation::relu)
    return {u > zero ? u : zero * u, u > zero ? one : zero, zero};  // a NaN stays one
  if constexpr (kActivation == HiddenActivation::leaky_relu)
    return {u > zero ? u : u * leak, u > zero ? one : Lanes::set(leak), zero};
  if constexpr (kActivation == HiddenActivation::tanh) {
    const V t = hyperbolic_tangent<V>(u), slope = one - t * t;
    return {t, slope, -2.0 * t * slope};
  }
  const V s = logistic<V>(u), slope = s * (one - s);
  return {s, slope, slope * (one - 2.0 * s)};
}

// function.at<activation>(), for an activation known at run time.
template <class Function>
QMSE_HOST_DEVICE inline auto with_hidden_activation(HiddenActivation activation, const Function& function) {
  switch (activation) {
    case HiddenActivation::identity:
      return function.template at<HiddenActivation::identity>();
    case HiddenActivation::relu:
      return function.template at<HiddenActivation::relu>();
    case HiddenActivation::leaky_relu:
      return function.template at<HiddenActivation::leaky_relu>();
    case HiddenActivation::tanh:
      return function.template at<HiddenActivation::tanh>();
    case HiddenActivation::sigmoid:
      break;
  }
  return function.template at<HiddenActivation::sigmoid>();
}

// The loss of a sample of `c` outputs. `sample` has V output(o), V target(o), V minus_direction(o) (minus v_o,
// since errors are -r; asked for by qmse alone) and set_delta(o, d loss / d f_o).
template <class V, class Sample>
QMSE_HOST_DEVICE inline V mlp_sample_loss(MlpLoss loss, std::int64_t c, const Sample& sample) {
  using Lanes = LanesOf<V>;
  const V zero = Lanes::set(0.0);
  if (loss == MlpLoss::bce) {
    V sum = zero;
    for (std::int64_t o = 0; o < c; ++o) {
      const V logit = sample.output(o), y = sample.target(o);
      sum += softplus<V>(logit) - y * logit;
      sample.set_delta(o, logistic<V>(logit) - y);
    }
    return sum;
  }
  V squares = zero, along = zero;
  for (std::int64_t o = 0; o < c; ++o) {
    const V error = sample.output(o) - sample.target(o);
    squares = Lanes::fma(error, error, squares);
    if (loss == MlpLoss::qmse) along = Lanes::fma(sample.minus_direction(o), error, along);
  }
  if (loss == MlpLoss::mse) {
    for (std::int64_t o = 0; o < c; ++o) sample.set_delta(o, sample.output(o) - sample.target(o));
    return 0.5 * squares;
  }
  if (loss == MlpLoss::expected_qmse) {
    const double each = 1.0 / static_cast<double>(c);
    for (std::int64_t o = 0; o < c; ++o)
      sample.set_delta(o, (squares + each) * (sample.output(o) - sample.target(o)));
    return 0.25 * squares * squares + 0.5 * each * squares;
  }
  const V a = squares + along;
  for (std::int64_t o = 0; o < c; ++o)
    sample.set_delta(o, a * (sample.output(o) - sample.target(o) + sample.minus_direction(o)));
  return 0.5 * a * a;
}

}  // namespace qmse
