#include "analysis/mlp/descent.h"

#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/cpu/simd.h"
#include "random/shuffle.h"

namespace qmse {
namespace {

constexpr double kSmallestLoss = 1e-28;

// In no order that anything depends on: it is asked whether it is finite, and whether it is 0.
double sum_of_squares(const std::vector<double>& values) {
  constexpr std::size_t kLanes = kSimdLanes<double>;
  Simd<double> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    const Simd<double> value = simd_load(values.data() + i);
    lanes += value * value;
  }
  double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  for (; i < values.size(); ++i) sum += values[i] * values[i];
  return sum;
}

}  // namespace

Descent::Descent(Mlp& network, std::vector<double> weights, DescentRule rule, std::uint64_t seed)
    : network_(network),
      weights_(std::move(weights)),
      gradient_(network.parameters()),
      rule_(rule),
      seed_(seed),
      order_(seed, RandomPurpose::data_order),
      step_noise_(seed, RandomPurpose::step_noise) {
  if (weights_.size() != network.parameters()) {
    throw ShapeError("a network with " + std::to_string(network.parameters()) +
                     " parameters cannot start from " + std::to_string(weights_.size()));
  }
  if (rule_.qmse_noise != QmseNoise::none && rule_.batch > 0)
    throw ShapeError("QMSE's noise is that of all samples together");
  if (rule_.momentum != 0 || rule_.adam) velocity_.resize(weights_.size());
  if (rule_.adam) squares_.resize(weights_.size());
  if (rule_.noise != StepNoise::none || rule_.qmse_noise != QmseNoise::none) noise_.resize(weights_.size());
  if (rule_.qmse_noise == QmseNoise::itself) {
    const auto with = [&](MlpLoss loss) {
      MlpObjective objective = network.objective();
      objective.loss = loss;
      return objective;
    };
    drawing_.emplace(network.shape(), with(MlpLoss::qmse), network.samples());
    expected_.emplace(network.shape(), with(MlpLoss::expected_qmse), network.samples());
    drift_.resize(weights_.size());
  }
  const bool qmse = network.objective().loss == MlpLoss::qmse || rule_.qmse_noise == QmseNoise::itself;
  if (rule_.batch > 0) {
    batch_.resize(static_cast<std::size_t>(rule_.batch));
    if (rule_.order == BatchOrder::epochs)
      epoch_order_.resize(static_cast<std::size_t>(network.samples().count));
  } else if (qmse) {  // the samples' indices name their directions
    batch_.resize(static_cast<std::size_t>(network.samples().count));
    for (std::size_t n = 0; n < batch_.size(); ++n) batch_[n] = static_cast<std::int32_t>(n);
  }
  if (qmse) directions_.resize(batch_.size() * static_cast<std::size_t>(network.shape().outputs()));
}

void Descent::draw_batch() {
  const std::int64_t count = network_.samples().count;
  for (std::int32_t& sample : batch_) {
    if (rule_.order == BatchOrder::replacement) {
      sample = static_cast<std::int32_t>(order_.below(count));
      continue;
    }
    if (drawn_ % count == 0)
      shuffled_order(seed_, static_cast<std::uint32_t>(drawn_ / count), count, epoch_order_.data());
    sample = static_cast<std::int32_t>(epoch_order_[static_cast<std::size_t>(drawn_++ % count)]);
  }
}

// A sample that is twice in the batch has two directions.
void Descent::draw_directions() {
  const std::int64_t c = network_.shape().outputs();
  for (std::size_t n = 0; n < batch_.size(); ++n) {
    const auto name = rule_.batch > 0 ? static_cast<std::uint32_t>(n) : static_cast<std::uint32_t>(batch_[n]);
    draw_direction(rule_.directions, seed_, static_cast<std::uint32_t>(steps_), name, c,
                   directions_.data() + n * static_cast<std::size_t>(c));
  }
}

void Descent::add_noise() {
  double squares = 0;
  for (double& value : noise_) {
    value = step_noise_.normal();
    squares += value * value;
  }
  const double scale =
      rule_.noise == StepNoise::sphere ? rule_.noise_scale / std::sqrt(squares) : rule_.noise_scale;
  for (std::size_t i = 0; i < gradient_.size(); ++i) gradient_[i] += scale * noise_[i];
}

void Descent::add_qmse_noise() {
  if (rule_.qmse_noise == QmseNoise::isotropic) {
    const double scale = std::sqrt(qmse_noise_trace() / static_cast<double>(gradient_.size()));
    for (double& value : gradient_) value += scale * step_noise_.normal();
    return;
  }
  drawing_->gradient(weights_, noise_, {.samples = batch_, .directions = directions_});
  expected_->gradient(weights_, drift_);
  for (std::size_t i = 0; i < gradient_.size(); ++i) gradient_[i] += noise_[i] - drift_[i];
}

// Of the covariance of QMSE's step in the parameters, without draws: docs/theory.md 7.5.
double Descent::qmse_noise_trace() {
  const std::vector<double> d = network_.jacobian(weights_), f = network_.outputs(weights_);
  const Samples& samples = network_.samples();
  const std::int64_t outputs = network_.shape().outputs();
  const auto c = static_cast<double>(outputs);
  double trace = 0;
  for (std::int64_t n = 0; n < samples.count; ++n) {
    double rho = 0, all = 0;  // ||r||^2, ||D_n||_F^2
    std::vector<double> pulled(weights_.size());
    for (std::int64_t o = 0; o < outputs; ++o) {
      const double r = samples.target(n, o) - f[static_cast<std::size_t>(o * samples.stride + n)];
      rho += r * r;
      const double* row = d.data() + static_cast<std::size_t>(n * outputs + o) * weights_.size();
      for (std::size_t i = 0; i < pulled.size(); ++i) {
        pulled[i] += row[i] * r;
        all += row[i] * row[i];
      }
    }
    double pulled_squares = 0;
    for (const double value : pulled) pulled_squares += value * value;
    trace += (3 * rho / c + 2 / (c * (c + 2)) - 1 / (c * c)) * pulled_squares +
             (rho * rho / c + rho / (c * (c + 2))) * all;
  }
  return trace / static_cast<double>(samples.count * samples.count);
}

void Descent::step(double lr) {
  if (done_) return;
  if (rule_.batch > 0) draw_batch();
  if (!directions_.empty()) draw_directions();
  MlpBatch batch;
  if (rule_.batch > 0 || network_.objective().loss == MlpLoss::qmse)
    batch = {.samples = batch_, .directions = directions_};
  loss_ = network_.gradient(weights_, gradient_, batch);
  if (rule_.qmse_noise != QmseNoise::none) add_qmse_noise();
  const double squares = sum_of_squares(gradient_);
  finite_ = std::isfinite(loss_) && std::isfinite(squares);
  const bool still = batch_.empty() && rule_.noise == StepNoise::none &&
                     rule_.qmse_noise == QmseNoise::none && (squares == 0 || loss_ < kSmallestLoss);
  done_ = !finite_ || still;
  if (done_) return;
  if (rule_.noise != StepNoise::none) add_noise();
  ++steps_;
  if (rule_.adam) {
    const auto t = static_cast<double>(steps_);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      velocity_[i] = 0.9 * velocity_[i] + 0.1 * gradient_[i];
      squares_[i] = 0.999 * squares_[i] + 0.001 * gradient_[i] * gradient_[i];
      weights_[i] -= lr * (velocity_[i] / (1 - std::pow(0.9, t)) /
                           (std::sqrt(squares_[i] / (1 - std::pow(0.999, t))) + 1e-8));
    }
  } else if (velocity_.empty()) {
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] -= lr * gradient_[i];
  } else {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      velocity_[i] = rule_.momentum * velocity_[i] + gradient_[i];
      weights_[i] -= lr * velocity_[i];
    }
  }
}

}  // namespace qmse
