#include "analysis/critical/certificate.h"

#include <algorithm>
#include <cmath>

#include "algebra/dense.h"

namespace qmse {

CriticalCertificate certify(Mlp& network, std::span<const double> w, const CriticalTolerance& tolerance) {
  const std::size_t size = network.parameters();
  std::vector<double> gradient(size);
  CriticalCertificate result;
  result.loss = network.loss(w);
  network.gradient(w, gradient);
  SymmetricEigen eigen = symmetric_eigen(network.curvature_matrix(w), static_cast<std::int64_t>(size));
  const double norm = std::max(std::abs(eigen.values.front()), std::abs(eigen.values.back()));
  result.tau = tolerance.zero_eigenvalue * norm;
  double gradient_squares = 0, image_squares = 0, distance_squares = 0;
  for (std::size_t i = 0; i < size; ++i) {
    double along = 0;
    for (std::size_t j = 0; j < size; ++j) along += eigen.vectors[i * size + j] * gradient[j];
    const double value = eigen.values[i], magnitude = std::abs(value);
    gradient_squares += gradient[i] * gradient[i];
    image_squares += along * value * along * value;
    if (magnitude > result.tau) {
      distance_squares += (along / value) * (along / value);
      result.smallest_other =
          result.smallest_other == 0 ? magnitude : std::min(result.smallest_other, magnitude);
      result.index += value < 0;
    } else {
      ++result.nullity;
      result.largest_zero = std::max(result.largest_zero, magnitude);
    }
  }
  result.gradient = std::sqrt(gradient_squares);
  result.newton_distance = std::sqrt(distance_squares);
  result.flatness = result.gradient > 0 && norm > 0 ? std::sqrt(image_squares) / (norm * result.gradient) : 0;
  result.critical = result.gradient <= tolerance.gradient;
  result.gradient_flat = !result.critical && result.flatness < tolerance.flatness;
  result.uncertain = result.nullity > 0 && result.smallest_other > 0 &&
                     result.smallest_other < tolerance.certain_gap * result.largest_zero;
  result.spectrum = std::move(eigen.values);
  return result;
}

}  // namespace qmse
