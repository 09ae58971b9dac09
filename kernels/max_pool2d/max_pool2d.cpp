#include "kernels/max_pool2d/max_pool2d.h"

#include <string>

#include "base/error.h"

namespace qmse {

void check(const MaxPool2dShape& shape) {
  const auto description = [&] {  // only where it is needed: each forward and backward comes by here
    return "max_pool2d: input [" + std::to_string(shape.batch) + ", " + std::to_string(shape.channels) +
           ", " + std::to_string(shape.in_height) + ", " + std::to_string(shape.in_width) + "], window " +
           std::to_string(shape.window);
  };
  if (shape.batch < 1 || shape.channels < 1 || shape.in_height < 1 || shape.in_width < 1) {
    throw ShapeError(description() + ": every size of the input must be at least 1");
  }
  if (shape.window < 1 || shape.window > 15) {
    throw ShapeError(description() + ": the window must be 1 to 15 wide");
  }
  if (shape.out_height() < 1 || shape.out_width() < 1) {
    throw ShapeError(description() +
                     ": the image does not hold one window; take a smaller window or a larger image");
  }
}

}  // namespace qmse
