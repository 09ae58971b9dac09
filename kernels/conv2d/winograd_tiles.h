// The loops of WinogradForward.
#pragma once

#include <cstdint>

#include "kernels/conv2d/forward_tiles.h"
#include "kernels/cpu/dispatch.h"

namespace qmse {

inline constexpr std::int64_t kTilePlaces = 16;     // of a transformed tile
inline constexpr std::int64_t kTilesTogether = 24;  // worked on together: their transforms stay in the cache

// y = conv(x, w) for images on one thread.
struct WinogradForwardArguments {
  ForwardTiles tiles;
  std::int64_t images, height, width, padding;
  std::int64_t channels;                       // of x, whole blocks
  std::int64_t inputs;                         // of them those of w
  std::int64_t filled_inputs, filled_outputs;  // whole vectors
  const float* x;                              // [images, channels / block, pixels, block]
  const float* weights;  // [16, panels of two vectors of outputs, inputs, panel]; the last
                         // panel may be one vector
  float* transformed;    // scratch: [16, kTilesTogether, inputs + outputs]
  ForwardOutput to;
};
QMSE_FOR_EACH_ISA(void winograd_forward(const WinogradForwardArguments&);)

}  // namespace qmse
