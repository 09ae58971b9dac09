#include <algorithm>
#include <cmath>

#include "algebra/dense.h"
#include "analysis/landscape/width.h"
#include "base/error.h"
#include "random/random_stream.h"

namespace qmse {

ThesisSchedule::ThesisSchedule(double lr, std::int64_t constant_steps, std::int64_t plateau_steps,
                               double min_delta)
    : lr_(lr), min_delta_(min_delta), constant_steps_(constant_steps), plateau_steps_(plateau_steps) {
  restart_stopping();
}

void ThesisSchedule::restart_stopping() {
  best_plateau_ = best_stopping_ = INFINITY;
  waited_stopping_ = 0;
}

double ThesisSchedule::next(double loss) {
  // The callbacks see the loss of the step before; then this step begins.
  const std::int64_t step = step_++;
  if (step == constant_steps_) restart_stopping();
  if (step >= constant_steps_ + plateau_steps_) return 0;
  if (step > constant_steps_) {
    if (cooldown_ > 0) {
      --cooldown_;
      waited_plateau_ = 0;
    }
    if (loss < best_plateau_ - min_delta_) {
      best_plateau_ = loss;
      waited_plateau_ = 0;
    } else if (cooldown_ == 0 && ++waited_plateau_ >= 40 && lr_ > 1e-7) {
      lr_ = std::max(0.5 * lr_, 1e-7);
      cooldown_ = 10;
      waited_plateau_ = 0;
    }
  }
  if (loss < best_stopping_ - 1e-7) {
    best_stopping_ = loss;
    waited_stopping_ = 0;
  } else if (++waited_stopping_ >= 10000) {
    if (step >= constant_steps_) return 0;
    step_ = constant_steps_;  // on to falling steps
    restart_stopping();
  }
  return lr_;
}

std::vector<double> affine_trap(const Mlp& network, std::uint64_t seed) {
  const MlpShape& shape = network.shape();
  const Samples& samples = network.samples();
  const bool rectifier =
      shape.activation == HiddenActivation::relu || shape.activation == HiddenActivation::leaky_relu;
  if (shape.layers() != 2 || !shape.biases || !rectifier || shape.outputs() != 1 ||
      network.objective().weight_decay != 0 || network.objective().loss != MlpLoss::mse) {
    throw ConfigError(
        "the affine trap is that of one hidden layer of relu or leaky_relu, one output, mse, no penalty");
  }
  const std::int64_t d = shape.inputs(), h = shape.widths[1], count = samples.count;
  const auto at = [](std::int64_t index) { return static_cast<std::size_t>(index); };
  std::vector<double> matrix, minus_targets;
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < d; ++k) matrix.push_back(samples.input(n, k));
    matrix.push_back(1);
    minus_targets.push_back(-samples.target(n, 0));
  }
  const std::vector<double> fit = least_squares(matrix, count, d + 1, minus_targets);
  // Units other than the first are random; the first one's weights make up the difference to the fit.
  RandomStream random(seed, RandomPurpose::start);
  std::vector<double> w(network.parameters()), slope(fit.begin(), fit.end() - 1);
  double offset = fit.back();
  for (std::int64_t i = h - 1; i >= 0; --i) {
    const double z = i == 0 ? 1.0 : 0.3 * random.normal();
    double* weights = w.data() + i * d;
    for (std::int64_t k = 0; k < d; ++k) {
      weights[k] = i == 0 ? slope[at(k)] : random.normal();
      if (i > 0) slope[at(k)] -= z * weights[k];
    }
    double least = INFINITY;
    for (std::int64_t n = 0; n < count; ++n) {
      double product = 0;
      for (std::int64_t k = 0; k < d; ++k) product += weights[k] * samples.input(n, k);
      least = std::min(least, product);
    }
    const double bias = 0.5 - least;
    w[at(shape.bias_offset(1) + i)] = bias;
    w[at(shape.weight_offset(2) + i)] = z;
    offset -= z * bias;
  }
  w[at(shape.bias_offset(2))] = offset;
  return w;
}

}  // namespace qmse
