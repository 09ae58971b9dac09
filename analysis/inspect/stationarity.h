// What the residuals r of N samples and the Gram matrix of their outputs' Jacobian D say of a point
// (docs/theory.md 7): how far it is from stationary, and of which kind it would be; QMSE's drift and noise in
// closed form; the curvature of Gauss and Newton and the steps that it allows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "random/direction.h"

namespace qmse {

struct StationarityRequest {
  std::int64_t samples = 0, outputs = 0;  // N, c
  std::span<const double> residual = {};  // r [N c]
  std::span<const double> gram = {};      // D D^T [N c][N c]
  DirectionDistribution distribution = DirectionDistribution::sphere;
  double scale = 1;        // scale_of(reduction, c): what losses and gradients are multiplied with
  std::int64_t batch = 1;  // of a training, for the noise of its steps
  double momentum = 0;     // of a training
};

// Gradients and losses are those of batch_mean unless "step" is in the name.
struct Stationarity {
  double loss = 0;                    // MSE: (1/N) sum ||r_n||^2 / 2
  double residual_norm = 0;           // ||r||
  double jacobian_residual_norm = 0;  // ||D^T r||, N times the norm of MSE's gradient
  double gradient_norm = 0;

  std::vector<double> eigenvalues;                // of D D^T, ascending
  std::int64_t rank = 0;                          // of them above 1e-12 of the largest
  double smallest_kept = 0, largest_dropped = 0;  // on either side of that; 0 where there is none
  // Where the rank is N c: the loss is at most this, N ||grad||^2 / (2 lambda_min); else infinity.
  double certified_loss = 0;
  double kernel_share = 0;  // of ||r||^2, in the kernel of D^T: out of reach of a small step

  // QMSE's expected gradient, and the noise about it of one step over `batch` of these samples.
  double drift_norm = 0, drift_cosine = 0;  // cosine with MSE's gradient
  double noise_norm = 0;                    // root of the trace of the covariance over v
  // The same over the choice of samples, of MSE and of QMSE's drift.
  double sampling_norm = 0, drift_sampling_norm = 0;

  // Per sample: ||r_n||^2, and kappa_n, the largest eigenvalue of D_n D_n^T.
  std::vector<double> residual_sq, kappa;
  // Largest eigenvalues of the Gauss-Newton matrices of MSE and of QMSE's drift.
  double curvature = 0, drift_curvature = 0;

  // The largest learning rates with which gradient descent on these samples contracts (2 (1 + momentum) over
  // scale times curvature), ...
  double step = 0, drift_step = 0;
  // ... and with which the visit of one sample in a batch, whose gradient acts with the whole momentum, does
  // not carry its residual further away: 2 batch (1 - momentum) / (scale kappa_n), QMSE's with the weight
  // ||r_n||^2 + 1/c on kappa_n; the smallest of all samples.
  double visit_step = 0, drift_visit_step = 0;
  std::int64_t worst_sample = 0;  // with the smallest drift_visit_step
};

// ShapeError where sizes do not fit, NumericError where a number is not finite.
Stationarity stationarity(const StationarityRequest& request);

}  // namespace qmse
