#include "analysis/mlp/descent.h"

#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "random/direction.h"

namespace qmse {
namespace {

constexpr double kSmallestLoss = 1e-28;

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
  if (rule_.momentum != 0) velocity_.resize(weights_.size());
  if (rule_.noise != StepNoise::none) noise_.resize(weights_.size());
  const bool qmse = network.objective().loss == MlpLoss::qmse;
  if (rule_.batch > 0) {
    batch_.resize(static_cast<std::size_t>(rule_.batch));
  } else if (qmse) {  // the samples' indices name their directions
    batch_.resize(static_cast<std::size_t>(network.samples().count));
    for (std::size_t n = 0; n < batch_.size(); ++n) batch_[n] = static_cast<std::int32_t>(n);
  }
  if (qmse) directions_.resize(batch_.size() * static_cast<std::size_t>(network.shape().outputs()));
}

void Descent::draw_batch() {
  for (std::int32_t& sample : batch_)
    sample = static_cast<std::int32_t>(order_.below(network_.samples().count));
}

// A sample that is twice in the batch has two directions.
void Descent::draw_directions() {
  const std::int64_t c = network_.shape().outputs();
  for (std::size_t n = 0; n < batch_.size(); ++n) {
    const auto name = rule_.batch > 0 ? static_cast<std::uint32_t>(n) : static_cast<std::uint32_t>(batch_[n]);
    draw_direction(DirectionDistribution::sphere, seed_, static_cast<std::uint32_t>(steps_), name, c,
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

void Descent::step(double lr) {
  if (done_) return;
  if (rule_.batch > 0) draw_batch();
  if (!directions_.empty()) draw_directions();
  loss_ = network_.gradient(weights_, gradient_, {.samples = batch_, .directions = directions_});
  double squares = 0;
  for (const double value : gradient_) squares += value * value;
  finite_ = std::isfinite(loss_) && std::isfinite(squares);
  const bool still =
      batch_.empty() && rule_.noise == StepNoise::none && (squares == 0 || loss_ < kSmallestLoss);
  done_ = !finite_ || still;
  if (done_) return;
  if (rule_.noise != StepNoise::none) add_noise();
  if (velocity_.empty()) {
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] -= lr * gradient_[i];
  } else {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      velocity_[i] = rule_.momentum * velocity_[i] + gradient_[i];
      weights_[i] -= lr * velocity_[i];
    }
  }
  ++steps_;
}

}  // namespace qmse
