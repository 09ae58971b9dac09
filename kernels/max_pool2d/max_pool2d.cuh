// Max-pooling on the GPU: the forward's window, and the backward of every pooling that records its choices.
#pragma once

#include <cstdint>

#include "kernels/core/elements.cuh"
#include "kernels/core/launch.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/max_pool2d/max_pool2d_math.h"
#include "kernels/max_pool2d/pool_forward.cuh"

namespace qmse {

template <class Launcher>
void launch_max_pool2d_forward(Launcher& launcher, const MaxPool2dShape& shape, const float* x, float* y,
                               std::uint8_t* choice) {
  launch_pool_forward<MaxPoolWindow<float>>(launcher, shape, x, nullptr, y, choice);
}

// Windows of 2 that cover the image: one thread for `outputs` adjacent windows, each of whose two rows is one
// access.
template <int outputs>
__global__ void __launch_bounds__(kElementThreads)
    pool2_backward_kernel(MaxPool2dShape shape, const float* __restrict__ dy,
                          const std::uint8_t* __restrict__ choice, float* __restrict__ dx) {
  const std::int64_t out_height = shape.in_height / 2, out_width = shape.in_width / 2;
  const Quotient at = divide(grid_thread(), out_width / outputs);  // row of all output rows, group in the row
  if (at.quotient >= shape.batch * shape.channels * out_height) return;
  const std::int64_t out = at.quotient * out_width + at.remainder * outputs;
  const Group<float, outputs> gradient = load_aligned<outputs>(dy + out);
  const Group<std::uint8_t, outputs> place = load_aligned<outputs>(choice + out);
  Group<float, 2 * outputs> top, bottom;
#pragma unroll
  for (int k = 0; k < outputs; ++k) {
    top.v[2 * k] = place.v[k] == 0 ? gradient.v[k] : 0.0f;
    top.v[2 * k + 1] = place.v[k] == 1 ? gradient.v[k] : 0.0f;
    bottom.v[2 * k] = place.v[k] == 2 ? gradient.v[k] : 0.0f;
    bottom.v[2 * k + 1] = place.v[k] == 3 ? gradient.v[k] : 0.0f;
  }
  float* corner = dx + 2 * at.quotient * shape.in_width + at.remainder * (2 * outputs);
  store_aligned(corner, top);
  store_aligned(corner + shape.in_width, bottom);
}

// Any window, and images with rows and columns left over: one thread for each element of dx.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    pool_backward_kernel(MaxPool2dShape shape, const float* __restrict__ dy,
                         const std::uint8_t* __restrict__ choice, float* __restrict__ dx) {
  const std::int64_t out_height = shape.in_height / shape.window, out_width = shape.in_width / shape.window;
  const std::int64_t i = grid_thread();
  const Quotient at = divide(i, shape.in_width);              // row of all input rows, column
  const Quotient row = divide(at.quotient, shape.in_height);  // plane, row in the plane
  if (row.quotient >= shape.batch * shape.channels) return;
  const Quotient vertical = divide(row.remainder, shape.window);   // window's row, row in the window
  const Quotient horizontal = divide(at.remainder, shape.window);  // window's column, column in the window
  float gradient = 0;
  if (vertical.quotient < out_height && horizontal.quotient < out_width) {
    const std::int64_t out =
        (row.quotient * out_height + vertical.quotient) * out_width + horizontal.quotient;
    if (choice[out] == vertical.remainder * shape.window + horizontal.remainder) gradient = dy[out];
  }
  dx[i] = gradient;
}

template <class Launcher>
void launch_max_pool2d_backward(Launcher& launcher, const MaxPool2dShape& shape, const float* dy,
                                const std::uint8_t* choice, float* dx) {
  check(shape);
  const std::int64_t planes = shape.batch * shape.channels;
  const std::int64_t outputs = planes * shape.out_height() * shape.out_width();
  const bool covered = shape.window == 2 && shape.in_height % 2 == 0;
  if (covered && shape.in_width % 4 == 0 && aligned_for<4>(dx) && aligned_for<2>(dy, choice)) {
    launcher.launch(QMSE_KERNEL(pool2_backward_kernel<2>),
                    LaunchShape{grid_blocks(outputs / 2, kElementThreads), kElementThreads}, shape, dy,
                    choice, dx);
  } else if (covered && shape.in_width % 2 == 0 && aligned_for<2>(dx)) {
    launcher.launch(QMSE_KERNEL(pool2_backward_kernel<1>),
                    LaunchShape{grid_blocks(outputs, kElementThreads), kElementThreads}, shape, dy, choice,
                    dx);
  } else {
    launcher.launch(
        QMSE_KERNEL(pool_backward_kernel<kElementThreads>),
        LaunchShape{grid_blocks(planes * shape.in_height * shape.in_width, kElementThreads), kElementThreads},
        shape, dy, choice, dx);
  }
}

}  // namespace qmse
