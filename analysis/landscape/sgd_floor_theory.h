// What SGD with a fixed step does near a minimum (Mandt, Hoffman and Blei 2017; exactly in the step: Liu,
// Ziyin and Ueda 2021): with the Hessian's eigenvalues h_i and C_ij, the covariance of the batch gradient in
// its eigenvectors,
//
//   E ||gradient||^2 = sum_i a h_i C_ii (1 + b) / ((1 - b) (2 (1 + b) - a h_i)),  a the step, b the momentum,
//
// which for b = 0 is sum_i a h_i C_ii / (2 - a h_i), about (a / 2) tr(H C).
//
// A run is of finite length, and its squared norms are far from independent: after k steps gradient i is
// remembered by (1 - a h_i)^k. So the average over a run has a mean and a deviation of its own, which follow
// from the same recursion g' = (1 - a H) g + a H noise: with G_ij = a h_i h_j C_ij / (h_i + h_j - a h_i h_j)
//
//   Cov(||g(k)||^2, ||g(l)||^2) = 2 sum_ij (1 - a h_i)^(2 |k - l|) G_ij^2      (for Gaussian gradients).
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

// Which gradients of a run are averaged: `count` of them, after steps first + spacing, first + 2 spacing, ...
struct AveragedRun {
  std::int64_t first = 0, spacing = 1, count = 1;
};

struct GradientNoise {
  std::vector<double> curvature;  // h_i, ascending
  std::vector<double>
      covariance;       // C of one sample, P x P: a batch of B drawn with replacement has 1/B of it
  double gradient = 0;  // ||gradient|| at the point

  double variance(std::size_t i) const { return covariance[i * curvature.size() + i]; }
  double trace_product() const;  // tr(H C) of one sample
  double trace() const;          // tr C of one sample
  // NaN where a step is too long for it: a h_max >= 2 (1 + b).
  double predicted(double step, std::int64_t batch, double momentum = 0) const;

  // Of the average squared norm of one run that begins at the minimum. With momentum those of plain steps of
  // length a / (1 - b), which is right for small steps. NaN as above.
  struct Average {
    double mean = 0, deviation = 0;
  };
  Average average(double step, std::int64_t batch, double momentum, const AveragedRun& run) const;
};

// At a minimum of up to some 2,000 parameters.
GradientNoise gradient_noise(Mlp& network, std::span<const double> w);

}  // namespace qmse
