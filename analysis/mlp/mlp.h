// Small fully connected networks in f64: loss, gradient, exact Hessian-vector products and Jacobian, by
// hand-written passes over samples. What the landscape experiments ask of a network, and nothing else;
// training at scale is the engine's tape.
//
// The loss is L(w) = (1/N) sum_n loss(f(x_n; w), y_n) + (weight_decay / 2) ||w||^2, the penalty being part of
// the gradient and the Hessian. Everything is a fixed sequence of operations on one thread: its bits depend
// on the arguments alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/mlp/products.h"
#include "analysis/mlp/samples.h"
#include "kernels/ensemble_mlp/mlp_math.h"  // HiddenActivation, MlpLoss and their formulas

namespace qmse {

bool is_piecewise_linear(HiddenActivation activation);

// The parameters are one array: for each layer its weights, row by row (outputs x inputs, as in PyTorch),
// then its biases.
struct MlpShape {
  std::vector<std::int64_t> widths;  // inputs, hidden layers, outputs
  HiddenActivation activation = HiddenActivation::tanh;
  double leak = 0.1;  // slope of leaky_relu for u < 0
  bool biases = true;

  std::int64_t layers() const { return static_cast<std::int64_t>(widths.size()) - 1; }
  std::int64_t inputs() const { return widths.front(); }
  std::int64_t outputs() const { return widths.back(); }
  std::int64_t hidden_units() const;
  std::int64_t parameters() const;
  std::int64_t weight_offset(std::int64_t layer) const;
  std::int64_t bias_offset(std::int64_t layer) const;  // one past the weights, also without biases
};

// inputs, the hidden layers', outputs.
std::vector<std::int64_t> layer_widths(std::int64_t inputs, std::vector<std::int64_t> hidden,
                                       std::int64_t outputs);

struct MlpObjective {
  MlpLoss loss = MlpLoss::mse;
  double weight_decay = 0;
  // Factors on the hidden units' outputs, one a unit and sample: unit i of all hidden layers in order, sample
  // n at [i * samples.stride + n]. Empty: none. (Soudry and Carmon's noise on the slopes.)
  std::vector<double> slope_factors = {};
};

// A batch of samples by index; empty: all of them, in order. `directions`: QMSE's v, row by row.
struct MlpBatch {
  std::span<const std::int32_t> samples = {};
  std::span<const float> directions = {};
};

class Mlp {
 public:
  // `samples` must outlive it. ShapeError where sizes do not fit together or a width is below 1.
  Mlp(MlpShape shape, MlpObjective objective, const Samples& samples);

  const MlpShape& shape() const { return shape_; }
  const MlpObjective& objective() const { return objective_; }
  const Samples& samples() const { return *samples_; }
  std::size_t parameters() const { return static_cast<std::size_t>(shape_.parameters()); }

  double loss(std::span<const double> w, const MlpBatch& batch = {});
  // Writes the gradient and returns the loss. At a kink of a piecewise linear activation the slope is that of
  // u < 0.
  double gradient(std::span<const double> w, std::span<double> gradient, const MlpBatch& batch = {});

  enum class Curvature { hessian, gauss_newton };
  // products[i] = H directions[i], rows of as many doubles as there are parameters, by Pearlmutter's
  // R-operator: exact, and for piecewise linear activations exact where the loss is differentiable. Not for
  // the loss qmse.
  void curvature_products(std::span<const double> w, std::int64_t count, std::span<const double> directions,
                          std::span<double> products, Curvature curvature = Curvature::hessian);

  // The whole matrix, P x P, symmetrised.
  std::vector<double> curvature_matrix(std::span<const double> w, Curvature curvature = Curvature::hessian);

  // Row by row: each sample's gradient of its own loss, without the penalty, [N][P].
  std::vector<double> sample_gradients(std::span<const double> w);
  // d f_o(x_n) / d w at row n * c + o, [N c][P].
  std::vector<double> jacobian(std::span<const double> w);

  // f_o(x_n) at [o * stride + n], with the samples' stride.
  std::vector<double> outputs(std::span<const double> w);
  // u of all hidden units, layer after layer, unit i at [i * stride + n].
  std::vector<double> pre_activations(std::span<const double> w);
  double residual_sq(std::span<const double> w);  // mean over samples of ||y - f||^2

 private:
  // The samples that are worked on together: rows of `padded` of them, a multiple of 4, where what lies
  // beyond `count` counts for nothing.
  struct Chunk {
    std::int64_t begin = 0, count = 0, padded = 0;
    SampleRows x, y, factors;  // factors.at is null where there are none
  };
  using Rows = std::vector<double>;
  // What a pass leaves behind, by layer: layer 0 has the inputs, the last one the outputs.
  struct Layer {
    Rows pre, value, slope, back, delta;       // u, a, da/du, dl/da, dl/du
    Rows bend, pre_dot, value_dot, delta_dot;  // d2a/du2, and what the R-operator makes of the others
  };

  Chunk chunk_at(const MlpBatch& batch, std::int64_t begin);
  std::int64_t count(const MlpBatch& batch) const;
  void check(std::span<const double> w) const;
  void forward(std::span<const double> w, const Chunk& chunk, bool with_bend = false);
  double losses(const Chunk& chunk, const MlpBatch& batch, bool with_delta);  // their sum
  void backward(std::span<const double> w, const Chunk& chunk, bool with_back = false);
  void add_gradient(const Chunk& chunk, double* gradient);
  void add_tangent(std::span<const double> w, std::span<const double> v, const Chunk& chunk,
                   Curvature curvature, double* product);
  void loss_tangent(const Chunk& chunk);
  void write_row(const Chunk& chunk, std::int64_t lane, double* row);

  WeightView weights(std::span<const double> w, std::int64_t layer, bool transposed = false) const;
  const double* bias(std::span<const double> w, std::int64_t layer) const;
  std::int64_t width(std::int64_t layer) const { return shape_.widths[static_cast<std::size_t>(layer)]; }
  MutableSampleRows rows(std::int64_t layer, Rows Layer::*of);
  SampleRows values(const Chunk& chunk, std::int64_t layer);

  MlpShape shape_;
  MlpObjective objective_;
  const Samples* samples_;
  std::int64_t room_ = 0;  // samples of a chunk at most, a multiple of 4
  std::vector<Layer> layers_;
  Rows batch_x_, batch_y_, batch_factors_, sample_losses_;
};

}  // namespace qmse
