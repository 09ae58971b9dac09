// The QMSE paper's network: convolutions, each followed by ReLU and max-pool, then two fully connected layers.
#pragma once

#include <vector>

#include "models/sequential.h"

namespace qmse {

struct SimpleCnnOptions {
  std::vector<std::int64_t> conv_channels = {32, 64};
  std::int64_t kernel = 3;
  std::int64_t padding = 1;
  std::int64_t pool_window = 2;
  std::int64_t fc_width = 128;
};

// Layers conv1, conv2, ..., flatten, fc1, fc2; input [C, H, W], output [classes]. A tape that does not fuse
// has nodes conv1, relu1, pool1, conv2, relu2, pool2, ..., flatten, fc1, relu_fc1, fc2.
Sequential make_simple_cnn(const Shape& input, std::int64_t classes, const SimpleCnnOptions& options = {});

}  // namespace qmse
