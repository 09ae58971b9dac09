// Pooling of [N, C, H, W] on the GPU for any way to fold a window (MaxPoolWindow, ReluPoolWindow): the
// window's state is made anew, shown the window's values plus the channel's bias in row order, and asked for
// `best` and `choice`.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/max_pool2d/max_pool2d.h"

namespace qmse::device {

// What is added to channel `channel`; -0 leaves every number as it is.
__device__ __forceinline__ float pool_shift(const float* bias, std::int64_t channel) {
  return bias == nullptr ? -0.0f : bias[channel];
}

// Windows of 2: one thread for `outputs` adjacent windows, each of whose two rows is one access.
template <class Window, int outputs>
__global__ void __launch_bounds__(kElementThreads)
    pool2_forward_kernel(MaxPool2dShape shape, const float* __restrict__ x, const float* __restrict__ bias,
                         float* __restrict__ y, std::uint8_t* __restrict__ choice) {
  const std::int64_t out_height = shape.in_height / 2, out_width = shape.in_width / 2;
  const Quotient at = divide(grid_thread(), out_width / outputs);  // row of all output rows, group in the row
  const Quotient row = divide(at.quotient, out_height);            // plane, row in the plane
  if (row.quotient >= shape.batch * shape.channels) return;
  const float shift = pool_shift(bias, divide(row.quotient, shape.channels).remainder);
  const float* corner = x + (row.quotient * shape.in_height + 2 * row.remainder) * shape.in_width +
                        at.remainder * (2 * outputs);
  const Group<float, 2 * outputs> top = load_aligned<2 * outputs>(corner);
  const Group<float, 2 * outputs> bottom = load_aligned<2 * outputs>(corner + shape.in_width);
  Group<float, outputs> best;
  Group<std::uint8_t, outputs> place;
#pragma unroll
  for (int k = 0; k < outputs; ++k) {
    Window window;
    window.visit(top.v[2 * k] + shift, 0);
    window.visit(top.v[2 * k + 1] + shift, 1);
    window.visit(bottom.v[2 * k] + shift, 2);
    window.visit(bottom.v[2 * k + 1] + shift, 3);
    best.v[k] = window.best;
    place.v[k] = static_cast<std::uint8_t>(window.choice);
  }
  const std::int64_t out = at.quotient * out_width + at.remainder * outputs;
  store_aligned(y + out, best);
  store_aligned(choice + out, place);
}

// Any window: one thread for each.
template <class Window>
__global__ void __launch_bounds__(kElementThreads)
    pool_forward_kernel(MaxPool2dShape shape, const float* __restrict__ x, const float* __restrict__ bias,
                        float* __restrict__ y, std::uint8_t* __restrict__ choice) {
  const std::int64_t out_height = shape.in_height / shape.window, out_width = shape.in_width / shape.window;
  const std::int64_t out = grid_thread();
  const Quotient at = divide(out, out_width);            // row of all output rows, column
  const Quotient row = divide(at.quotient, out_height);  // plane, row in the plane
  if (row.quotient >= shape.batch * shape.channels) return;
  const float shift = pool_shift(bias, divide(row.quotient, shape.channels).remainder);
  const float* corner = x + (row.quotient * shape.in_height + row.remainder * shape.window) * shape.in_width +
                        at.remainder * shape.window;
  const int size = static_cast<int>(shape.window);
  Window window;
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) window.visit(corner[i * shape.in_width + j] + shift, i * size + j);
  }
  y[out] = window.best;
  choice[out] = static_cast<std::uint8_t>(window.choice);
}

// bias [C] may be null.
template <class Window, class Gpu>
void launch_pool_forward(Gpu& gpu, const MaxPool2dShape& shape, const float* x, const float* bias, float* y,
                         std::uint8_t* choice) {
  check(shape);
  const std::int64_t outputs = shape.batch * shape.channels * shape.out_height() * shape.out_width();
  if (shape.window == 2 && shape.in_width % 4 == 0 && aligned_for<4>(x) && aligned_for<2>(y, choice)) {
    gpu.launch(QMSE_KERNEL(pool2_forward_kernel<Window, 2>),
               LaunchShape{grid_blocks(outputs / 2, kElementThreads), kElementThreads}, shape, x, bias, y,
               choice);
  } else if (shape.window == 2 && shape.in_width % 2 == 0 && aligned_for<2>(x)) {
    gpu.launch(QMSE_KERNEL(pool2_forward_kernel<Window, 1>),
               LaunchShape{grid_blocks(outputs, kElementThreads), kElementThreads}, shape, x, bias, y,
               choice);
  } else {
    gpu.launch(QMSE_KERNEL(pool_forward_kernel<Window>),
               LaunchShape{grid_blocks(outputs, kElementThreads), kElementThreads}, shape, x, bias, y,
               choice);
  }
}

}  // namespace qmse::device
