#include "analysis/landscape/sgd_floor_theory.h"

#include <cmath>
#include <limits>

#include "algebra/dense.h"
#include "analysis/mlp/products.h"

namespace qmse {

double GradientNoise::trace_product() const {
  double sum = 0;
  for (std::size_t i = 0; i < curvature.size(); ++i) sum += curvature[i] * variance(i);
  return sum;
}

double GradientNoise::trace() const {
  double sum = 0;
  for (std::size_t i = 0; i < curvature.size(); ++i) sum += variance(i);
  return sum;
}

double GradientNoise::predicted(double step, std::int64_t batch, double momentum) const {
  double sum = 0;
  for (std::size_t i = 0; i < curvature.size(); ++i) {
    const double room = 2 * (1 + momentum) - step * curvature[i];
    if (room <= 0) return std::numeric_limits<double>::quiet_NaN();
    sum += step * curvature[i] * variance(i) / static_cast<double>(batch) * (1 + momentum) /
           ((1 - momentum) * room);
  }
  return sum;
}

GradientNoise::Average GradientNoise::average(double step, std::int64_t batch, double momentum,
                                              const AveragedRun& run) const {
  const double length = step / (1 - momentum);
  const auto m = static_cast<double>(run.count), spacing = static_cast<double>(run.spacing);
  Average result;
  double variance_sum = 0;
  const std::size_t size = curvature.size();
  for (std::size_t i = 0; i < size; ++i) {
    const double h = curvature[i], kept = 1 - length * h;
    if (std::abs(kept) >= 1 && h > 0) return {std::nan(""), std::nan("")};
    const double r = std::pow(kept * kept, spacing);  // of the memory between two of the gradients
    const double all = std::pow(r, m);
    const double geometric = r < 1 ? r * (1 - all) / (1 - r) : m;
    // 1 - kept^(2k), averaged: what the run has forgotten of the minimum.
    const double settled = 1 - std::pow(kept * kept, static_cast<double>(run.first)) * geometric / m;
    result.mean += length * h * variance(i) / static_cast<double>(batch) / (2 - length * h) * settled;
    const double repeats =
        r < 1 ? (1 + r) / (1 - r) / m - 2 * r * (1 - all) / ((m * (1 - r)) * (m * (1 - r))) : 1;
    for (std::size_t j = 0; j < size; ++j) {
      const double other = curvature[j], sum = h + other - length * h * other;
      if (!(sum > 0) || h <= 0 || other <= 0) continue;
      const double g = length * h * other * covariance[i * size + j] / static_cast<double>(batch) / sum;
      variance_sum += 2 * g * g * repeats;
    }
  }
  result.deviation = std::sqrt(variance_sum);
  return result;
}

GradientNoise gradient_noise(Mlp& network, std::span<const double> w) {
  const std::size_t size = network.parameters();
  const auto parameters = static_cast<std::int64_t>(size);
  const std::int64_t count = network.samples().count, stride = network.samples().stride;
  const SymmetricEigen eigen = symmetric_eigen(network.curvature_matrix(w), parameters);
  const std::vector<double> rows = network.sample_gradients(w);
  GradientNoise noise{.curvature = eigen.values, .covariance = std::vector<double>(size * size)};
  std::vector<double> gradient(size);
  network.gradient(w, gradient);
  for (const double value : gradient) noise.gradient += value * value;
  noise.gradient = std::sqrt(noise.gradient);
  // The samples' gradients in the eigenvectors, centred: [P][stride].
  std::vector<double> transposed(size * static_cast<std::size_t>(stride)), projected(transposed.size());
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t j = 0; j < parameters; ++j)
      transposed[static_cast<std::size_t>(j * stride + n)] =
          rows[static_cast<std::size_t>(n * parameters + j)];
  }
  layer_product(parameters, parameters, stride, {eigen.vectors.data(), parameters, 1},
                {transposed.data(), stride}, nullptr, {projected.data(), stride});
  for (std::size_t i = 0; i < size; ++i) {
    double* row = projected.data() + i * static_cast<std::size_t>(stride);
    double mean = 0;
    for (std::int64_t n = 0; n < count; ++n) mean += row[n] / static_cast<double>(count);
    for (std::int64_t n = 0; n < count; ++n) row[n] = (row[n] - mean) / std::sqrt(static_cast<double>(count));
  }
  add_outer_sums(parameters, parameters, stride, {projected.data(), stride}, {projected.data(), stride},
                 noise.covariance.data());
  return noise;
}

}  // namespace qmse
