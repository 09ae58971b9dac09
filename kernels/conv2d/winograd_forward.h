// The forward pass of a 3x3 convolution with stride 1 as Winograd's F(2x2, 3x3) (winograd_math.h): an output
// tile of 2x2 pixels from 4x4 of the input by 16 products for each pair of channels, where the direct sum
// takes 36.
//
// Sums and differences of four inputs, and of the products, cost a few roundings more than the direct sum.
// Each output depends on its own image alone, and its bits neither on the layout nor on the images beside it.
#pragma once

#include <cstdint>

#include "device/memory.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/winograd_tiles.h"

namespace qmse {

class WinogradForward {
 public:
  static bool fits(const Conv2dShape& shape) {
    return shape.kernel_height == 3 && shape.kernel_width == 3 && shape.stride == 1;
  }
  // x and y are [images, channels / block, pixels, block].
  WinogradForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block);

  void begin(const float* w);  // [O, I, 3, 3]
  void run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const;

 private:
  CpuContext& context_;
  Conv2dShape shape_;
  ForwardTiles output_tiles_;
  BlockVector vector_;
  void (*run_)(const WinogradForwardArguments&);
  std::int64_t inputs_, outputs_;  // channels, the last vector filled up
  Buffer weights_, scratch_;
};

}  // namespace qmse
