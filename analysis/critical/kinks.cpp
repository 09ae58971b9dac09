#include "analysis/critical/kinks.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "algebra/dense.h"
#include "algebra/norm.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr double kKink = 1e-6;

// A network at one point, with what its units see.
class Point {
 public:
  Point(Mlp& network, std::span<const double> w)
      : network_(network),
        shape_(network.shape()),
        samples_(network.samples()),
        w_(w),
        u_(network.pre_activations(w)),
        low_slope_(shape_.activation == HiddenActivation::relu ? 0.0 : shape_.leak) {}

  double least_pre_activation() const {
    double least = INFINITY;
    for (std::int64_t unit = 0; unit < shape_.hidden_units(); ++unit) {
      for (std::int64_t n = 0; n < samples_.count; ++n) least = std::min(least, std::abs(u(unit, n)));
    }
    return least;
  }

  using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;  // unit of the layer, sample
  Pairs kinks(std::int64_t layer) const {
    Pairs pairs;
    std::int64_t first = 0;
    for (std::int64_t l = 1; l < layer; ++l) first += width(l);
    const std::int64_t in = width(layer - 1);
    for (std::int64_t i = 0; i < width(layer); ++i) {
      double weight_squares = squared_norm(w_.subspan(at(shape_.weight_offset(layer) + i * in), at(in)));
      if (shape_.biases) weight_squares += std::pow(w_[at(shape_.bias_offset(layer) + i)], 2);
      for (std::int64_t n = 0; n < samples_.count; ++n) {
        double input_squares = shape_.biases ? 1 : 0;
        for (std::int64_t k = 0; k < in; ++k) {
          const double x =
              layer == 1 ? samples_.input(n, k) : slope(first - in + k, n) * u(first - in + k, n);
          input_squares += x * x;
        }
        if (std::abs(u(first + i, n)) <= kKink * std::sqrt(weight_squares * input_squares))
          pairs.emplace_back(i, n);
      }
    }
    return pairs;
  }

  // Rows a_in (x_n, 1) of the first hidden layer's units, one after the other, for each sample.
  std::vector<double> slopes_times_inputs() const {
    std::vector<double> rows;
    for (std::int64_t n = 0; n < samples_.count; ++n) {
      for (std::int64_t i = 0; i < width(1); ++i) {
        for (std::int64_t k = 0; k < columns(); ++k) rows.push_back(factor(i, n) * slope(i, n) * input(n, k));
      }
    }
    return rows;
  }

  // With one hidden layer the residuals do not depend on the slope at a kink. So the gradient is affine in
  // the slopes there, and the weights of each unit see its own kinks alone.
  double clarke_residual(const Pairs& kinks, std::vector<double> gradient) const {
    const std::vector<double> error = output_gradient();
    double squares = 0;
    for (std::int64_t i = 0; i < width(1); ++i) {
      std::vector<std::int64_t> samples;
      for (const auto& [unit, n] : kinks) {
        if (unit == i) samples.push_back(n);
      }
      if (samples.empty()) continue;
      const std::size_t m = samples.size();
      std::vector<double> block, matrix(at(columns()) * m), low, high;
      for (std::int64_t k = 0; k < columns(); ++k) {
        double& entry =
            gradient[at(k < shape_.inputs() ? i * shape_.inputs() + k : shape_.bias_offset(1) + i)];
        block.push_back(std::exchange(entry, 0.0));
      }
      for (std::size_t j = 0; j < m; ++j) {
        const std::int64_t n = samples[j];
        double back = 0;
        for (std::int64_t o = 0; o < shape_.outputs(); ++o)
          back += w_[at(shape_.weight_offset(2) + o * width(1) + i)] * error[at(o * samples_.stride + n)];
        back *= factor(i, n) / static_cast<double>(samples_.count);
        for (std::int64_t k = 0; k < columns(); ++k) matrix[at(k) * m + j] = back * input(n, k);
        low.push_back(low_slope_ - slope(i, n));
        high.push_back(1.0 - slope(i, n));
      }
      const double least =
          bounded_least_squares(matrix, columns(), static_cast<std::int64_t>(m), block, low, high).norm;
      squares += least * least;
    }
    return std::sqrt(squares + squared_norm(gradient));
  }

  std::int64_t columns() const { return shape_.inputs() + (shape_.biases ? 1 : 0); }

 private:
  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }
  std::int64_t width(std::int64_t layer) const { return shape_.widths[at(layer)]; }
  double u(std::int64_t unit, std::int64_t n) const { return u_[at(unit * samples_.stride + n)]; }
  double slope(std::int64_t unit, std::int64_t n) const { return u(unit, n) > 0 ? 1.0 : low_slope_; }
  double input(std::int64_t n, std::int64_t k) const {
    return k < shape_.inputs() ? samples_.input(n, k) : 1.0;
  }
  double factor(std::int64_t unit, std::int64_t n) const {
    const std::vector<double>& factors = network_.objective().slope_factors;
    return factors.empty() ? 1.0 : factors[at(unit * samples_.stride + n)];
  }

  // dl/df of every output and sample, from the definition of the loss.
  std::vector<double> output_gradient() const {
    std::vector<double> error = network_.outputs(w_);
    const MlpLoss loss = network_.objective().loss;
    if (loss != MlpLoss::mse && loss != MlpLoss::bce)
      throw ConfigError("the Clarke residual is there for the losses mse and bce");
    for (std::size_t i = 0; i < error.size(); ++i)
      error[i] = (loss == MlpLoss::bce ? 1 / (1 + std::exp(-error[i])) : error[i]) - samples_.y[i];
    return error;
  }

  Mlp& network_;
  const MlpShape& shape_;
  const Samples& samples_;
  std::span<const double> w_;
  std::vector<double> u_;
  double low_slope_;
};

}  // namespace

KinkReport examine_kinks(Mlp& network, std::span<const double> w) {
  const MlpShape& shape = network.shape();
  if (shape.layers() < 2) throw ShapeError("a network without a hidden layer has no kinks to examine");
  std::vector<double> gradient(network.parameters());
  network.gradient(w, gradient);
  const Point point(network, w);
  KinkReport report;
  report.gradient = std::sqrt(squared_norm(gradient));
  report.min_pre_activation = point.least_pre_activation();
  Point::Pairs first;
  if (is_piecewise_linear(shape.activation) && shape.activation != HiddenActivation::identity) {
    for (std::int64_t layer = 1; layer < shape.layers(); ++layer) {
      Point::Pairs pairs = point.kinks(layer);
      report.kinks += static_cast<std::int64_t>(pairs.size());
      if (layer == 1) first = std::move(pairs);
    }
    if (shape.layers() == 2) {
      const std::int64_t count = network.samples().count, columns = shape.widths[1] * point.columns();
      const std::vector<double> singular = singular_values(point.slopes_times_inputs(), count, columns);
      report.rank = numerical_rank(singular);
      report.smallest_singular = count <= columns ? singular.back() : 0.0;
    }
  }
  if (report.kinks == 0) {
    report.clarke = report.gradient;
  } else if (shape.layers() == 2) {
    report.clarke = point.clarke_residual(first, std::move(gradient));
  }
  return report;
}

}  // namespace qmse
