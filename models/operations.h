// The operations a layer can record: each checks shapes (ShapeError names the layer and the shapes), plans
// the kernel for the tape's backend and batch, and appends a node.
#pragma once

#include "engine/tape.h"
#include "kernels/bias_activation/activation.h"

namespace qmse {

struct Conv2dOptions {
  std::int64_t padding = 0;
  std::int64_t stride = 1;
};

// x [N, I, H, W], weight [O, I, kh, kw], bias [O] -> [N, O, OH, OW].
Value record_conv2d(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                    const Conv2dOptions& options);

// max_pool(relu(conv2d(x) + bias)) as one node, x in any layout; the result has `layout`.
Value record_conv_block(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                        const Conv2dOptions& options, std::int64_t window, Layout layout);
// The layout this tape's backend would like between two conv_blocks with `channels` channels between them.
Layout preferred_layout(Tape& tape, std::int64_t channels);

// x [N, I], weight [O, I], bias [O] -> activation(x wT + b) [N, O]; activation identity or relu.
Value record_linear(Tape& tape, const std::string& name, Value x, Value weight, Value bias,
                    Activation activation = Activation::identity);

Value record_activation(Tape& tape, const std::string& name, Value x, Activation activation);

// x [N, C, H, W] -> [N, C, H / window, W / window].
Value record_max_pool2d(Tape& tape, const std::string& name, Value x, std::int64_t window);

}  // namespace qmse
