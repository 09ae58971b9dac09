#include "analysis/landscape/tied_saddle.h"

#include <cmath>
#include <string>

#include "algebra/dense.h"
#include "analysis/critical/certificate.h"
#include "analysis/critical/search.h"
#include "analysis/mlp/descent.h"
#include "analysis/mlp/glorot.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr std::uint64_t kStarts = 10;

// Where the two units' parameters are, in pairs.
std::vector<std::pair<std::size_t, std::size_t>> pairs(const MlpShape& shape) {
  std::vector<std::pair<std::size_t, std::size_t>> all;
  const auto add = [&](std::int64_t first, std::int64_t second) {
    all.emplace_back(static_cast<std::size_t>(first), static_cast<std::size_t>(second));
  };
  for (std::int64_t k = 0; k < shape.inputs(); ++k) add(k, shape.inputs() + k);
  add(shape.bias_offset(1), shape.bias_offset(1) + 1);
  for (std::int64_t o = 0; o < shape.outputs(); ++o)
    add(shape.weight_offset(2) + 2 * o, shape.weight_offset(2) + 2 * o + 1);
  return all;
}

void tie(const MlpShape& shape, std::vector<double>& w) {
  for (const auto& [first, second] : pairs(shape)) w[second] = w[first];
}

}  // namespace

double tie_gap(const MlpShape& shape, const std::vector<double>& w) {
  double squares = 0;
  for (const auto& [first, second] : pairs(shape)) squares += (w[first] - w[second]) * (w[first] - w[second]);
  return std::sqrt(squares);
}

TiedSaddle find_tied_saddle(Mlp& network, std::uint64_t seed) {
  const MlpShape& shape = network.shape();
  if (shape.layers() != 2 || shape.widths[1] != 2 || !shape.biases || is_piecewise_linear(shape.activation))
    throw ShapeError("a tied saddle needs one hidden layer of two smooth units, with biases");
  TiedSaddle saddle;
  CriticalCertificate point;
  // Some starts come to points with further directions down.
  for (std::uint64_t start = seed; start < seed + kStarts; ++start) {
    std::vector<double> w = glorot_weights(shape, start);
    tie(shape, w);
    Descent descent(network, std::move(w), {.momentum = 0.9}, start);
    for (int step = 0; step < 5000; ++step) descent.step(0.1);
    saddle.weights = descent.weights();
    for (int round = 0; round < 3; ++round) {  // rounding unties the units; tied again, few steps remain
      saddle.weights =
          find_critical_point(network, std::move(saddle.weights), {.iterations = 100, .target = 1e-13})
              .weights;
      tie(shape, saddle.weights);
    }
    point = certify(network, saddle.weights);
    if (point.critical && point.index == 1) break;
  }
  if (!point.critical || point.index != 1) {
    throw ConfigError("equal units did not come to a strict saddle with one direction down from " +
                      std::to_string(kStarts) + " starts (the last one: gradient " +
                      std::to_string(point.gradient) + ", " + std::to_string(point.index) +
                      " negative eigenvalues): take other data or a smaller --weight-decay");
  }
  saddle.loss = point.loss;
  saddle.gradient = point.gradient;
  saddle.index = point.index;
  const SymmetricEigen eigen = symmetric_eigen(network.curvature_matrix(saddle.weights),
                                               static_cast<std::int64_t>(network.parameters()));
  saddle.curvature = eigen.values.front();
  saddle.direction.assign(eigen.vectors.begin(),
                          eigen.vectors.begin() + static_cast<std::ptrdiff_t>(network.parameters()));
  return saddle;
}

}  // namespace qmse
