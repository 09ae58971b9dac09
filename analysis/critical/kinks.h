// Where a network with a piecewise linear activation is not differentiable: there ||gradient|| says nothing
// about being stationary, and the distance of 0 to the Clarke subdifferential does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "analysis/mlp/mlp.h"

namespace qmse {

struct KinkReport {
  std::int64_t kinks = 0;         // pairs of unit and sample with |u| <= 1e-6 ||(w, b)|| ||(x, 1)||
  double min_pre_activation = 0;  // least |u| of all pairs
  double gradient = 0;            // ||gradient|| with the slopes that the network computes with
  std::optional<double> clarke;  // of networks with one hidden layer: the least norm over all slopes at kinks
  std::optional<double> smallest_singular;  // of A o X, see below
  std::int64_t rank = 0;                    // of A o X: rows a_in (x_n, 1) of unit i, a column a sample
};

// The network must have a hidden layer; its loss is not qmse. With a smooth activation there are no kinks,
// and the Clarke residual is the gradient's norm.
KinkReport examine_kinks(Mlp& network, std::span<const double> w);

}  // namespace qmse
