#include "kernels/pooled_conv/pooled_conv_shape.h"

#include <limits>

#include "base/error.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"

namespace qmse {
namespace {

constexpr std::int64_t kMaxGridRows = 65535;  // a grid's largest y

bool right_kind(const Conv2dShape& c, std::int64_t window) {
  return window == 2 && c.kernel_height == 3 && c.kernel_width == 3 && c.padding == 1 && c.stride == 1 &&
         c.in_height >= 2 && c.in_width >= 2 &&
         c.in_height * c.in_width <= std::int64_t{1} << 24;  // offsets in an image's planes are 32-bit
}

PooledConvShape shape_of(const Conv2dShape& c) {
  return {c.batch, c.in_channels, c.in_height, c.in_width, c.out_channels};
}

bool few_fits(const PooledConvShape& s) {
  // Beside the image, the weights and biases of the forward pass's output channels.
  return few_channels(s) &&
         (few_tile_floats(s) + kGroupChannels * (9 * kFewChannels + 1)) * 4 <= kSharedBytes;
}

}  // namespace

bool has_pooled_conv_forward(const Conv2dShape& conv, std::int64_t window) {
  if (!right_kind(conv, window)) return false;
  const PooledConvShape s = shape_of(conv);
  if (few_channels(s)) return few_fits(s);
  const std::int64_t blocks = pooled_ceil(s.out_channels, kWinogradOutputs);
  return s.width % 2 == 0 && 2 * blocks * kWinogradOutputs <= 3 * s.out_channels && blocks <= kMaxGridRows &&
         s.batch <= std::numeric_limits<int>::max();
}

bool has_pooled_conv_weights(const Conv2dShape& conv, std::int64_t window) {
  const PooledConvShape s = shape_of(conv);
  return right_kind(conv, window) &&
         (few_channels(s) ? few_fits(s) : weights_tile_places(s, 1) <= kMaxPlaces);
}

bool has_pooled_conv_data(const Conv2dShape& conv, std::int64_t window) {
  return right_kind(conv, window) && plan_data(shape_of(conv)).rows > 0;
}

PooledConvShape pooled_conv_shape(const Conv2dShape& conv, std::int64_t window) {
  if (!right_kind(conv, window)) {
    throw ShapeError("pooled_conv: takes kernels 3x3 with padding 1 and stride 1 before windows of 2 only");
  }
  return shape_of(conv);
}

}  // namespace qmse
