#include "analysis/inspect/stationarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "algebra/dense.h"
#include "base/error.h"

namespace qmse {
namespace {

constexpr double kRankTolerance = 1e-12;

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The matrix times x.
std::vector<double> product(std::span<const double> matrix, std::span<const double> x) {
  std::vector<double> y(x.size());
  for (std::size_t row = 0; row < x.size(); ++row) y[row] = dot(matrix.subspan(row * x.size(), x.size()), x);
  return y;
}

// Roundings may leave a sum of squares just below 0.
double root(double square) { return std::sqrt(std::max(square, 0.0)); }

// What one sample has of everything.
struct Sample {
  double residual_sq = 0;
  double weight = 0;                // of the drift: ||r||^2 + 1/c
  double jacobian_residual_sq = 0;  // ||D_n^T r_n||^2
  double frobenius_sq = 0;          // ||D_n||_F^2
  double weighted_sq = 0;           // sum of r_i^2 ||D_n,i||^2
  double kappa = 0;
};

Sample sample_at(const StationarityRequest& request, std::int64_t n) {
  const auto c = static_cast<std::size_t>(request.outputs), rows = request.residual.size();
  const std::size_t first = static_cast<std::size_t>(n) * c;
  const std::span<const double> r = request.residual.subspan(first, c);
  std::vector<double> block;
  for (std::size_t i = 0; i < c; ++i) {
    const auto row = request.gram.subspan((first + i) * rows + first, c);
    block.insert(block.end(), row.begin(), row.end());
  }
  Sample sample;
  sample.residual_sq = dot(r, r);
  sample.weight = sample.residual_sq + 1 / static_cast<double>(c);
  sample.jacobian_residual_sq = dot(r, product(block, r));
  for (std::size_t i = 0; i < c; ++i) {
    sample.frobenius_sq += block[i * c + i];
    sample.weighted_sq += r[i] * r[i] * block[i * c + i];
  }
  sample.kappa = symmetric_eigen(block, request.outputs, false).values.back();
  return sample;
}

// tr(D_n^T Cov(Q r_n) D_n), docs/theory.md 7.5.
double noise_trace(const Sample& s, double c, DirectionDistribution distribution) {
  const double square = s.residual_sq;
  double trace =
      (3 * square / c - 1 / (c * c)) * s.jacobian_residual_sq + square * square / c * s.frobenius_sq;
  if (distribution == DirectionDistribution::sphere) {
    trace += (square * s.frobenius_sq + 2 * s.jacobian_residual_sq) / (c * (c + 2));
  } else {
    trace += (square * s.frobenius_sq + 2 * s.jacobian_residual_sq - 2 * s.weighted_sq) / (c * c);
  }
  return trace;
}

// The largest eigenvalue of W^(1/2) D D^T W^(1/2) for the drift's blocks W_n = w_n I + 2 r_n r_n^T, which is
// that of D^T W D. The root of a block is sqrt(w) I + (sqrt(w + 2 ||r||^2) - sqrt(w)) / ||r||^2 r r^T.
double drift_curvature(const StationarityRequest& request, const std::vector<Sample>& samples) {
  const auto c = static_cast<std::size_t>(request.outputs), rows = request.residual.size();
  std::vector<double> matrix(request.gram.begin(), request.gram.end());
  const auto apply = [&](auto element) {  // the root, to the index that `element` counts
    for (std::size_t n = 0; n < samples.size(); ++n) {
      const Sample& s = samples[n];
      const double base = std::sqrt(s.weight);
      const double along =
          s.residual_sq > 0 ? (std::sqrt(s.weight + 2 * s.residual_sq) - base) / s.residual_sq : 0;
      const auto r = request.residual.subspan(n * c, c);
      for (std::size_t other = 0; other < rows; ++other) {
        double projection = 0;
        for (std::size_t i = 0; i < c; ++i) projection += r[i] * element(n * c + i, other);
        for (std::size_t i = 0; i < c; ++i) {
          double& value = element(n * c + i, other);
          value = base * value + along * projection * r[i];
        }
      }
    }
  };
  apply([&](std::size_t i, std::size_t other) -> double& { return matrix[i * rows + other]; });
  apply([&](std::size_t i, std::size_t other) -> double& { return matrix[other * rows + i]; });
  return symmetric_eigen(matrix, static_cast<std::int64_t>(rows), false).values.back();
}

}  // namespace

Stationarity stationarity(const StationarityRequest& request) {
  const std::size_t rows = request.residual.size();
  if (request.samples < 1 || request.outputs < 1 ||
      rows != static_cast<std::size_t>(request.samples * request.outputs) ||
      request.gram.size() != rows * rows) {
    throw ShapeError("a Gram matrix of " + std::to_string(request.gram.size()) + " numbers and " +
                     std::to_string(rows) + " residuals do not fit " + std::to_string(request.samples) +
                     " samples of " + std::to_string(request.outputs) + " outputs");
  }
  const auto finite = [](double value) { return std::isfinite(value); };
  if (!std::all_of(request.residual.begin(), request.residual.end(), finite))
    throw NumericError("the network's outputs are not finite");
  const double n = static_cast<double>(request.samples), c = static_cast<double>(request.outputs);
  const double batch = static_cast<double>(request.batch);
  const std::span<const double> r = request.residual;
  Stationarity s;
  const double square = dot(r, r);
  s.loss = square / (2 * n);
  s.residual_norm = std::sqrt(square);
  const std::vector<double> of_r = product(request.gram, r);
  const double reached = std::max(dot(r, of_r), 0.0);
  s.jacobian_residual_norm = std::sqrt(reached);
  s.gradient_norm = s.jacobian_residual_norm / n;

  const SymmetricEigen eigen = symmetric_eigen(request.gram, static_cast<std::int64_t>(rows));
  s.eigenvalues = eigen.values;
  double in_kernel = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (eigen.values[i] > kRankTolerance * eigen.values.back()) {
      if (s.rank++ == 0) s.smallest_kept = eigen.values[i];
      continue;
    }
    s.largest_dropped = std::max(eigen.values[i], 0.0);
    const double part = dot(std::span(eigen.vectors).subspan(i * rows, rows), r);
    in_kernel += part * part;
  }
  s.kernel_share = square > 0 ? std::min(in_kernel / square, 1.0) : 0;
  s.certified_loss = s.rank == static_cast<std::int64_t>(rows)
                         ? n * s.gradient_norm * s.gradient_norm / (2 * s.smallest_kept)
                         : std::numeric_limits<double>::infinity();

  std::vector<Sample> samples;
  std::vector<double> weighted(r.begin(), r.end());
  double noise = 0, squares = 0, drift_squares = 0;
  s.visit_step = s.drift_visit_step = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < request.samples; ++i) {
    const Sample& one = samples.emplace_back(sample_at(request, i));
    s.residual_sq.push_back(one.residual_sq);
    s.kappa.push_back(one.kappa);
    for (std::int64_t k = 0; k < request.outputs; ++k)
      weighted[static_cast<std::size_t>(i * request.outputs + k)] *= one.weight;
    noise += noise_trace(one, c, request.distribution) / n;
    squares += one.jacobian_residual_sq / n;
    drift_squares += one.weight * one.weight * one.jacobian_residual_sq / n;
    const double visit = 2 * batch * (1 - request.momentum) / (request.scale * one.kappa);
    s.visit_step = std::min(s.visit_step, visit);
    if (visit / one.weight < s.drift_visit_step) {
      s.drift_visit_step = visit / one.weight;
      s.worst_sample = i;
    }
  }
  const std::vector<double> of_weighted = product(request.gram, weighted);
  const double drift = std::max(dot(weighted, of_weighted), 0.0);
  s.drift_norm = std::sqrt(drift) / n;
  s.drift_cosine = reached > 0 && drift > 0 ? dot(r, of_weighted) / std::sqrt(reached * drift) : 0;
  s.noise_norm = root(noise / batch);
  s.sampling_norm = root((squares - s.gradient_norm * s.gradient_norm) / batch);
  s.drift_sampling_norm = root((drift_squares - s.drift_norm * s.drift_norm) / batch);

  s.curvature = s.eigenvalues.back() / n;
  s.drift_curvature = drift_curvature(request, samples) / n;
  s.step = 2 * (1 + request.momentum) / (request.scale * s.curvature);
  s.drift_step = 2 * (1 + request.momentum) / (request.scale * s.drift_curvature);
  return s;
}

}  // namespace qmse
