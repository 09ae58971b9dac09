// A fully connected network of any depth.
#pragma once

#include <vector>

#include "kernels/bias_activation/activation.h"
#include "models/sequential.h"

namespace qmse {

struct MlpOptions {
  std::vector<std::int64_t> widths = {128};  // of the hidden layers; empty: a linear model
  Activation activation = Activation::relu;
};

// Layers flatten, fc1, fc2, ..., fcN; input of any shape, output [classes]. Activations that are nodes of
// their own are called act1, act2, ...
Sequential make_mlp(const Shape& input, std::int64_t classes, const MlpOptions& options = {});

}  // namespace qmse
