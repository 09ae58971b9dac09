// Glorot and Bengio's uniform initial weights.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/mlp/mlp.h"

namespace qmse {

// Weights uniform within sqrt(6 / (inputs + outputs)) of each layer, biases 0.
std::vector<double> glorot_weights(const MlpShape& shape, std::uint64_t seed);

}  // namespace qmse
