// The forward pass of a 3x3 convolution with stride 1 over few input channels (images): the direct sum, for
// tiles of 2x2 pixels and two vectors of output channels at a time in registers. With so few channels
// Winograd's transforms would cost more than the products they save.
//
// An output's bits depend neither on the layout nor on the images beside it.
#pragma once

#include <cstdint>

#include "device/memory.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/direct_tiles.h"

namespace qmse {

class DirectForward {
 public:
  static bool fits(const Conv2dShape& shape) {
    return shape.kernel_height == 3 && shape.kernel_width == 3 && shape.stride == 1;
  }
  // x is plain, y [images, channels / block, pixels, block].
  DirectForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block);

  void begin(const float* w);  // [O, I, 3, 3]
  void run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const;

 private:
  Conv2dShape shape_;
  ForwardTiles output_tiles_;
  BlockVector vector_;
  void (*run_)(const DirectForwardArguments&);
  std::int64_t outputs_;         // channels, the last vector filled up
  std::int64_t rows_, columns_;  // of an image with its padding, and what the last tiles reach past it
  Buffer weights_, padded_;
};

}  // namespace qmse
