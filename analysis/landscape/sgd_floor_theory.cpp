#include "analysis/landscape/sgd_floor_theory.h"

#include <cmath>
#include <limits>

#include "analysis/critical/dense.h"

namespace qmse {

double GradientNoise::trace_product() const {
  double sum = 0;
  for (std::size_t i = 0; i < curvature.size(); ++i) sum += curvature[i] * variance[i];
  return sum;
}

double GradientNoise::trace() const {
  double sum = 0;
  for (const double value : variance) sum += value;
  return sum;
}

double GradientNoise::predicted(double step, std::int64_t batch, double momentum) const {
  double sum = 0;
  for (std::size_t i = 0; i < curvature.size(); ++i) {
    const double room = 2 * (1 + momentum) - step * curvature[i];
    if (room <= 0) return std::numeric_limits<double>::quiet_NaN();
    sum += step * curvature[i] * variance[i] / static_cast<double>(batch) * (1 + momentum) /
           ((1 - momentum) * room);
  }
  return sum;
}

GradientNoise gradient_noise(Mlp& network, std::span<const double> w) {
  const std::size_t size = network.parameters();
  const auto count = static_cast<std::size_t>(network.samples().count);
  const SymmetricEigen eigen = symmetric_eigen(network.curvature_matrix(w), static_cast<std::int64_t>(size));
  const std::vector<double> rows = network.sample_gradients(w);
  GradientNoise noise{.curvature = eigen.values, .variance = std::vector<double>(size)};
  std::vector<double> gradient(size), projected(count);
  network.gradient(w, gradient);
  for (const double value : gradient) noise.gradient += value * value;
  noise.gradient = std::sqrt(noise.gradient);
  for (std::size_t i = 0; i < size; ++i) {
    double mean = 0;
    for (std::size_t n = 0; n < count; ++n) {
      projected[n] = 0;
      for (std::size_t j = 0; j < size; ++j) projected[n] += rows[n * size + j] * eigen.vectors[i * size + j];
      mean += projected[n] / static_cast<double>(count);
    }
    for (const double value : projected)
      noise.variance[i] += (value - mean) * (value - mean) / static_cast<double>(count);
  }
  return noise;
}

}  // namespace qmse
