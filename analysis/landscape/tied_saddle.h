// A strict saddle that is known beforehand: two equal tanh units at the minimum among networks with equal
// units. Steps that are combinations of the samples' gradients keep the units equal, bit for bit, so they
// never leave; noise on the parameters does.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

// Of widths {inputs, 2, outputs}, with biases.
struct TiedSaddle {
  std::vector<double> weights;
  double loss = 0, gradient = 0;
  std::int64_t index = 0;
  double curvature = 0;                // -gamma, the smallest eigenvalue
  std::vector<double> direction = {};  // its unit eigenvector: units move apart
};

// The distance of the two units' parameters (w, b, and the output weights).
double tie_gap(const MlpShape& shape, const std::vector<double>& w);

// From up to ten starts. ConfigError where none of them comes to a strict saddle with one direction down.
TiedSaddle find_tied_saddle(Mlp& network, std::uint64_t seed);

}  // namespace qmse
