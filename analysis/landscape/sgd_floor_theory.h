// What SGD with a fixed step does near a minimum (Mandt, Hoffman and Blei 2017; exactly in the step: Liu,
// Ziyin and Ueda 2021): with the Hessian's eigenvalues h_i and C_ii, the variance of the batch gradient along
// its eigenvectors,
//
//   E ||gradient||^2 = sum_i a h_i C_ii (1 + b) / ((1 - b) (2 (1 + b) - a h_i)),  a the step, b the momentum,
//
// which for b = 0 is sum_i a h_i C_ii / (2 - a h_i), about (a / 2) tr(H C).
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

struct GradientNoise {
  std::vector<double> curvature;  // h_i, ascending
  std::vector<double> variance;   // C_ii of one sample: a batch of B drawn with replacement has 1/B of it
  double gradient = 0;            // ||gradient|| at the point

  double trace_product() const;  // tr(H C) of one sample
  double trace() const;          // tr C of one sample
  // NaN where a step is too long for it: a h_max >= 2 (1 + b).
  double predicted(double step, std::int64_t batch, double momentum = 0) const;
};

// At a minimum of up to some 2,000 parameters.
GradientNoise gradient_noise(Mlp& network, std::span<const double> w);

}  // namespace qmse
