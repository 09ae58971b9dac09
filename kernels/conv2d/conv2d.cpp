#include "kernels/conv2d/conv2d.h"

#include <string>

#include "base/error.h"

namespace qmse {

void check(const Conv2dShape& s) {
  const std::string text = "convolution of [" + std::to_string(s.batch) + ", " +
                           std::to_string(s.in_channels) + ", " + std::to_string(s.in_height) + ", " +
                           std::to_string(s.in_width) + "] with " + std::to_string(s.out_channels) +
                           " kernels of " + std::to_string(s.kernel_height) + "x" +
                           std::to_string(s.kernel_width) + ", padding " + std::to_string(s.padding) +
                           ", stride " + std::to_string(s.stride) + ": ";
  if (s.batch < 1 || s.in_channels < 1 || s.in_height < 1 || s.in_width < 1 || s.out_channels < 1 ||
      s.kernel_height < 1 || s.kernel_width < 1 || s.stride < 1)
    throw ShapeError(text + "every size must be at least 1");
  if (s.padding < 0 || s.padding >= s.kernel_height || s.padding >= s.kernel_width)
    throw ShapeError(text + "the padding must be at least 0 and smaller than the kernel");
  if (s.in_height + 2 * s.padding < s.kernel_height || s.in_width + 2 * s.padding < s.kernel_width)
    throw ShapeError(text + "the padded image is smaller than the kernel");
}

}  // namespace qmse
