// Which convolutions have kernels in pooled_conv.h.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"
#include "kernels/pooled_conv/pooled_conv.h"

namespace qmse {

// Whether there are such kernels for a convolution that a max-pool of `window` follows: 3x3, padding 1,
// stride 1, window 2, and images that fit a block's shared memory, whole or in bands of rows. Forward with
// more than 4 input channels: images of any size whose width is even, where the output channels fill two
// thirds of their blocks at least.
bool has_pooled_conv_forward(const Conv2dShape& conv, std::int64_t window);
bool has_pooled_conv_weights(const Conv2dShape& conv, std::int64_t window);
bool has_pooled_conv_data(const Conv2dShape& conv, std::int64_t window);
// Throws ShapeError where none of them holds.
PooledConvShape pooled_conv_shape(const Conv2dShape& conv, std::int64_t window);

}  // namespace qmse
