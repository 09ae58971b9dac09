// The loops of DirectForward.
#pragma once

#include <cstdint>

#include "kernels/conv2d/forward_tiles.h"
#include "kernels/cpu/dispatch.h"

namespace qmse {

// y = conv(x, w) for one image.
struct DirectForwardArguments {
  ForwardTiles tiles;
  std::int64_t image;  // in y
  std::int64_t inputs;
  std::int64_t filled_outputs;  // whole vectors
  std::int64_t rows, columns;   // of x
  const float* x;        // [inputs, rows, columns], with the padding and what the last tiles reach past it
  const float* weights;  // [panels of two vectors of outputs, 9, inputs, panel]; the last panel may be one
                         // vector
  ForwardOutput to;
};
QMSE_FOR_EACH_ISA(void direct_forward(const DirectForwardArguments&);)

}  // namespace qmse
