// Training of one small network, step by step: gradient descent with momentum, or Adam, on all samples or on
// batches, drawn with replacement or by epochs, with any loss of Mlp (QMSE draws its directions), and with noise on the
// steps. Networks that are trained beside each other know nothing of each other, so a network has the bits
// it has alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "analysis/mlp/mlp.h"
#include "base/choice.h"
#include "kernels/ensemble_mlp/ensemble_mlp.h"  // StepNoise
#include "random/direction.h"
#include "random/random_stream.h"

namespace qmse {

// QMSE's noise, added to a gradient on all samples (docs/theory.md 7.5):
//   itself     QMSE's step less its expected step
//   isotropic  independent normals of one variance, whose covariance has the trace of that on the sphere
enum class QmseNoise { none, itself, isotropic };

// Where a batch's samples come from: independent draws, or epoch after epoch of all samples in new orders, one
// row of them, from which each batch takes the next (so that a batch may lie in two epochs).
enum class BatchOrder { replacement, epochs };
constexpr std::array<Choice<BatchOrder>, 2> choices(BatchOrder) {
  return {{{BatchOrder::replacement, "replacement"}, {BatchOrder::epochs, "epochs"}}};
}

struct DescentRule {
  double momentum = 0;     // v <- momentum v + g, w <- w - lr v
  bool adam = false;       // in place of that, with its usual 0.9, 0.999 and 1e-8
  std::int64_t batch = 0;  // samples a step; 0: all
  BatchOrder order = BatchOrder::replacement;
  StepNoise noise = StepNoise::none;
  double noise_scale = 0;
  QmseNoise qmse_noise = QmseNoise::none;
  DirectionDistribution directions = DirectionDistribution::sphere;  // of QMSE's v
};

class Descent {
 public:
  // `network` is used as scratch memory by each step and must outlive this. ShapeError where the weights are not
  // its number or the noise is QMSE's and the batch not all samples.
  Descent(Mlp& network, std::vector<double> weights, DescentRule rule, std::uint64_t seed);

  // One step of this length. Does nothing once done().
  void step(double lr);

  const std::vector<double>& weights() const { return weights_; }
  const std::vector<double>& gradient() const { return gradient_; }  // of the last step, noise included
  double loss() const { return loss_; }                              // of the last step's batch, before it
  std::int64_t steps() const { return steps_; }
  // Nothing more will happen: the loss or the gradient was not finite (the weights then are those before that
  // step), or, on all samples and without noise, the gradient was 0 or the loss below 1e-28, where subnormal
  // numbers would only cost time.
  bool done() const { return done_; }
  bool finite() const { return finite_; }

 private:
  void draw_batch();
  void draw_directions();
  void add_noise();
  void add_qmse_noise();
  double qmse_noise_trace();

  Mlp& network_;
  std::vector<double> weights_, gradient_, velocity_, squares_, noise_, drift_;
  DescentRule rule_;
  std::optional<Mlp> drawing_, expected_;  // QMSE and its expected step, for its noise
  std::uint64_t seed_;
  RandomStream order_, step_noise_;
  std::vector<std::int32_t> batch_;
  std::vector<std::uint32_t> epoch_order_;
  std::int64_t drawn_ = 0;  // samples so far, by epochs
  std::vector<float> directions_;
  double loss_ = 0;
  std::int64_t steps_ = 0;
  bool done_ = false, finite_ = true;
};

}  // namespace qmse
