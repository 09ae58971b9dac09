// The units of two networks of the same architecture brought into the same order: a permutation of each hidden
// layer's units, and for odd activations their signs, leaves the function as it is and changes the way between
// the two networks (Ainsworth, Hayase & Srinivasa, "Git Re-Basin", 2023).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/mlp/mlp.h"
#include "engine/parameters.h"

namespace qmse {

// One hidden layer's units (of a fully connected layer) or channels (of a convolution) in the flat array of
// parameters. Unit i has `inputs` numbers at weights + i * inputs, a bias at biases + i (none where biases is
// below 0), and goes on to `blocks` rows of the next layer, to each with `block` numbers at
// next + (row * units + i) * block: 1 between fully connected layers, a kernel between convolutions, a picture
// from a convolution to a fully connected layer.
struct UnitLayer {
  std::int64_t units = 0, inputs = 0, weights = 0, biases = -1;
  std::int64_t next = 0, rows = 0, block = 0;
};
std::vector<UnitLayer> unit_layers(const MlpShape& shape);
// Of a model of `qmse train`: a sequence of layers with weights and biases. The array is that of
// flat_weights() (model_loss.h).
std::vector<UnitLayer> unit_layers(const std::vector<ParameterSpec>& parameters);

// What became of `other`.
struct MatchedUnits {
  std::vector<double> weights;
  std::int64_t moved = 0, flipped = 0;  // how often a unit was moved or its sign changed, in all sweeps
  std::int64_t sweeps = 0;              // over the layers, the last one without a change
};
// `other` with each layer's units in the order, and with `signs` in the signs, in which their incoming and
// outgoing weights agree most with those of `with`: the largest sum of inner products, layer after layer until
// nothing changes, which with one hidden layer is the best there is. ShapeError where sizes differ.
MatchedUnits match_units(const std::vector<UnitLayer>& layers, std::span<const double> with,
                         std::span<const double> other, bool signs);

// Row i gets column result[i], each column once, so that the sum of gains (n x n, finite) is the largest: the
// Hungarian method with potentials, O(n^3) (Kuhn 1955; Jonker & Volgenant 1987).
std::vector<std::int64_t> best_assignment(std::span<const double> gains, std::int64_t n);

}  // namespace qmse
