// The output tiles of 2x2 pixels that a convolution's forward pass computes, and where it leaves them.
#pragma once

#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace qmse {

// As they are, in y [images, channels / block, pixels, block]; or, where there is a bias, through bias, ReLU
// and a max-pool whose 2x2 windows are the tiles: y has a pixel for each whole window then.
struct ForwardOutput {
  float* y = nullptr;
  const float* bias = nullptr;     // of whole blocks of channels
  std::uint8_t* choice = nullptr;  // [images, channels / 8, windows, 8]: bias_relu_max_pool.h
};

// The tiles of an image, numbered row by row.
struct ForwardTiles {
  // `block` is a power of two.
  ForwardTiles(const Conv2dShape& shape, std::int64_t block_size)
      : block(block_size),
        channels((shape.out_channels + block - 1) / block * block),
        height(shape.out_height()),
        width(shape.out_width()),
        rows((height + 1) / 2),
        columns((width + 1) / 2),
        pixels(height * width),
        windows(height / 2 * (width / 2)) {}

  std::int64_t block, channels, height, width, rows, columns, pixels, windows;
};

}  // namespace qmse
