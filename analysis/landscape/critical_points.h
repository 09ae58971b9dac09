// Sets of critical points: which are the same, and how index and loss go together (Dauphin et al. 2014).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "analysis/landscape/experiment.h"
#include "analysis/mlp/mlp.h"

namespace qmse {

struct CriticalPoint {
  std::int64_t seed = 0;  // of the search that found it
  double loss = 0;
  std::int64_t index = 0;
  std::vector<double> spectrum = {};  // ascending
};

// The first of each group that agrees in the loss to 1e-9 and in every eigenvalue to 1e-6 of the largest:
// equivalent networks (permuted units, flipped signs) have both in common.
std::vector<CriticalPoint> distinct(const std::vector<CriticalPoint>& points);

// "The index rises with the loss": Spearman's correlation, with a bootstrap over seeds.
LandscapeVerdict index_against_loss(const std::vector<CriticalPoint>& points);
// "Minima lie below saddles": pairs of a minimum and a saddle that is lower.
LandscapeVerdict minima_below_saddles(const std::vector<CriticalPoint>& points);

// A critical point with more hidden units: units whose weights, bias and output weights are 0 are added to a
// network with one hidden layer of tanh units. Where `w` is critical so is the result, and its index is
// larger by (added units) x #{singular values of M above weight_decay}, M = (1/N) sum_n r_n (x_n, 1)^T, since
// the Hessian's block of an added unit is [[weight_decay I, -M^T], [-M, weight_decay I]]. The loss is mse.
std::vector<double> with_zero_units(const MlpShape& shape, std::span<const double> w, std::int64_t hidden);
std::int64_t negative_directions_of_a_zero_unit(Mlp& network, std::span<const double> w);

}  // namespace qmse
