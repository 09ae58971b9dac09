// Backward of every pooling that records its choices, on the GPU: dx, and in the same pass the sum of dx over
// each channel, which is the gradient of a bias in front of the pooling.
//
// A channel's windows, over the whole batch, are cut into splits of a fixed size, a block each; a second,
// small kernel adds the splits' sums in order. Bytes: dy and choice read once, dx written once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/max_pool2d/max_pool2d.h"

namespace qmse::device {

// Visits the block's share of `items` places a plane; item(plane, place) returns what it adds to the
// channel's sum. `partials` [channels, splits] may be null. `unrolled`: so many items of a thread are in
// flight, as registers allow.
template <int unrolled, class Item>
__device__ __forceinline__ void pool_backward_split(const MaxPool2dShape& shape, std::int64_t items,
                                                    std::int64_t splits, double* partials, const Item& item) {
  const Quotient at = divide(blockIdx.x, splits);  // channel, split
  const std::int64_t begin = at.remainder * kPoolSplit;
  const std::int64_t end = min(shape.batch * items, begin + kPoolSplit);
  float sum = 0;
#pragma unroll unrolled
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kElementThreads) {
    const Quotient place = divide(i, items);  // image, place in the plane
    sum += item(place.quotient * shape.channels + at.quotient, place.remainder);
  }
  if (partials == nullptr) return;
  __shared__ SharedArray<double, kMaxWarps> scratch;
  const double total = block_reduce(static_cast<double>(sum), Sum(), scratch);
  if (threadIdx.x == 0) partials[blockIdx.x] = total;
}

// Windows of 2 that cover the image: an item is `outputs` adjacent windows, each of whose two rows is
// one access.
template <int outputs>
__global__ void __launch_bounds__(kElementThreads)
    pool2_backward_kernel(MaxPool2dShape shape, std::int64_t splits, const float* __restrict__ dy,
                          const std::uint8_t* __restrict__ choice, float* __restrict__ dx, double* partials) {
  const std::int64_t out_height = shape.in_height / 2, out_width = shape.in_width / 2;
  const std::int64_t groups = out_width / outputs;  // of a row
  const auto scatter = [&](std::int64_t plane, std::int64_t place) {
    const Quotient at = divide(place, groups);  // row, group in the row
    const std::int64_t out = (plane * out_height + at.quotient) * out_width + at.remainder * outputs;
    const Group<float, outputs> gradient = load_aligned<outputs>(dy + out);
    const Group<std::uint8_t, outputs> chosen = load_aligned<outputs>(choice + out);
    Group<float, 2 * outputs> top, bottom;
    float sum = 0;
#pragma unroll
    for (int k = 0; k < outputs; ++k) {
      top.v[2 * k] = chosen.v[k] == 0 ? gradient.v[k] : 0.0f;
      top.v[2 * k + 1] = chosen.v[k] == 1 ? gradient.v[k] : 0.0f;
      bottom.v[2 * k] = chosen.v[k] == 2 ? gradient.v[k] : 0.0f;
      bottom.v[2 * k + 1] = chosen.v[k] == 3 ? gradient.v[k] : 0.0f;
      sum += chosen.v[k] < 4 ? gradient.v[k] : 0.0f;
    }
    float* corner =
        dx + (plane * out_height + at.quotient) * 2 * shape.in_width + at.remainder * (2 * outputs);
    store_aligned(corner, top);
    store_aligned(corner + shape.in_width, bottom);
    return sum;
  };
  pool_backward_split<4>(shape, out_height * groups, splits, partials, scatter);
}

// Any window, and images with rows and columns left over: an item is an element of dx.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    pool_backward_kernel(MaxPool2dShape shape, std::int64_t splits, const float* __restrict__ dy,
                         const std::uint8_t* __restrict__ choice, float* __restrict__ dx, double* partials) {
  const std::int64_t out_height = shape.in_height / shape.window, out_width = shape.in_width / shape.window;
  const std::int64_t plane_size = shape.in_height * shape.in_width;
  const auto gather = [&](std::int64_t plane, std::int64_t place) {
    const Quotient at = divide(place, shape.in_width);               // row, column
    const Quotient vertical = divide(at.quotient, shape.window);     // window's row, row in the window
    const Quotient horizontal = divide(at.remainder, shape.window);  // window's column, column in the window
    float gradient = 0;
    if (vertical.quotient < out_height && horizontal.quotient < out_width) {
      const std::int64_t out = (plane * out_height + vertical.quotient) * out_width + horizontal.quotient;
      if (choice[out] == vertical.remainder * shape.window + horizontal.remainder) gradient = dy[out];
    }
    dx[plane * plane_size + place] = gradient;
    return gradient;
  };
  pool_backward_split<1>(shape, plane_size, splits, partials, gather);
}

inline constexpr unsigned kChannelTotalThreads = 64;

// sums[c] = the sum of partials[c, 0 .. splits - 1], a block a channel.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    channel_total_kernel(std::int64_t splits, const double* __restrict__ partials, float* __restrict__ sums) {
  __shared__ SharedArray<double, kMaxWarps> scratch;
  double sum = 0;
  for (std::int64_t split = threadIdx.x; split < splits; split += threads) {
    sum += partials[blockIdx.x * splits + split];
  }
  sum = block_reduce(sum, Sum(), scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = static_cast<float>(sum);
}

// db [C] may be null; else `partials` holds pool_backward_partials(shape) doubles.
template <class Gpu>
void launch_pool_backward(Gpu& gpu, const MaxPool2dShape& shape, const float* dy, const std::uint8_t* choice,
                          float* dx, float* db, double* partials) {
  check(shape);
  if (db == nullptr) partials = nullptr;
  const bool covered = shape.window == 2 && shape.in_height % 2 == 0;
  const bool pairs = covered && shape.in_width % 4 == 0 && aligned_for<4>(dx) && aligned_for<2>(dy, choice);
  const bool singles = covered && shape.in_width % 2 == 0 && aligned_for<2>(dx);
  const std::int64_t windows = shape.out_height() * shape.out_width();
  const std::int64_t items = pairs ? windows / 2 : singles ? windows : shape.in_height * shape.in_width;
  const std::int64_t splits = (shape.batch * items + kPoolSplit - 1) / kPoolSplit;
  const LaunchShape blocks{grid_blocks(shape.channels * splits, 1), kElementThreads};
  if (pairs) {
    gpu.launch(QMSE_KERNEL(pool2_backward_kernel<2>), blocks, shape, splits, dy, choice, dx, partials);
  } else if (singles) {
    gpu.launch(QMSE_KERNEL(pool2_backward_kernel<1>), blocks, shape, splits, dy, choice, dx, partials);
  } else {
    gpu.launch(QMSE_KERNEL(pool_backward_kernel<kElementThreads>), blocks, shape, splits, dy, choice, dx,
               partials);
  }
  if (db != nullptr) {
    gpu.launch(QMSE_KERNEL(channel_total_kernel<kChannelTotalThreads>),
               LaunchShape{grid_blocks(shape.channels, 1), kChannelTotalThreads}, splits, partials, db);
  }
}

}  // namespace qmse::device
