// The gradient of weights and bias from the windows where something passed: each adds g * x[3x3 neighbourhood
// of the place that passed]. A warp has one output channel. With many input channels its lanes are input
// channels and the windows come one after another; with few, its lanes are windows. Blocks leave partial sums
// over their images, which a second kernel adds in order.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/pooled_conv/pooled_conv_forward.cuh"
#include "kernels/pooled_conv/pooled_conv_plan.h"

namespace qmse::device {

static_assert(kElementThreads == kGroupChannels * kWarpSize,
              "a warp of a block for each of its output channels");

// One window of a lane: its gradient, and the place that passed. Both loads are on their way at once.
struct LaneWindow {
  float gradient;
  int place;  // 0 to 3; kNothingPassed where nothing did
};
__device__ __forceinline__ LaneWindow load_window(const float* __restrict__ dy,
                                                  const std::uint8_t* __restrict__ choice, std::int64_t index,
                                                  bool exists) {
  if (!exists) return {0.0f, kNothingPassed};
  return {dy[index], choice[index]};
}

// Lanes are input channels. A block: kGroupChannels output channels, kLanes input channels, the images of
// a split.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    pooled_conv_weights_kernel(PooledConvShape s, WeightsPlan plan, const float* __restrict__ x,
                               const float* __restrict__ dy, const std::uint8_t* __restrict__ choice,
                               float* __restrict__ partials) {
  __shared__ SharedArray<unsigned short, kMaxPlaces> places;  // of the band's elements in the tile
  float* tile = dynamic_shared<float>();  // [2 rows + 2, width + 2] places of kPlaceStride
  const int warp = static_cast<int>(threadIdx.x / kWarpSize),
            lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int width = static_cast<int>(s.width), height = static_cast<int>(s.height), plane = width * height;
  const int out_width = static_cast<int>(s.out_width()), out_height = static_cast<int>(s.out_height());
  const int windows = out_width * out_height, band_rows = static_cast<int>(plan.rows);
  const int padded_width = width + 2, elements = (2 * band_rows + 2) * width;
  const int row_stride = padded_width * static_cast<int>(kPlaceStride);
  const std::int64_t groups = pooled_ceil(s.out_channels, kGroupChannels);
  const Quotient at = divide(blockIdx.x, groups);          // rest, group of output channels
  const Quotient rest = divide(at.quotient, plan.splits);  // group of input channels, split
  const std::int64_t out_channel = at.remainder * kGroupChannels + warp, first_in = rest.quotient * kLanes;
  const bool has_channel = out_channel < s.out_channels;

  for (int e = static_cast<int>(threadIdx.x); e < elements; e += static_cast<int>(threads)) {
    places[static_cast<unsigned>(e)] =
        static_cast<unsigned short>((e / width * padded_width + e % width + 1) * kPlaceStride);
  }
  for (int r = warp; r < 2 * band_rows + 2; r += static_cast<int>(kGroupChannels)) {  // the border's columns
    tile[r * row_stride + lane] = 0;
    tile[r * row_stride + (width + 1) * kPlaceStride + lane] = 0;
  }

  float total[9] = {};
  float bias_sum = 0;
  const std::int64_t first_image = rest.remainder * plan.images;
  const std::int64_t last_image = min(first_image + plan.images, s.batch);
  for (std::int64_t image = first_image; image < last_image; ++image) {
    const float* from = x + (image * s.in_channels + first_in) * plane;
    const std::int64_t window_base = (image * s.out_channels + out_channel) * windows;
    float sum[9] = {};
    for (int band = 0; band < static_cast<int>(plan.bands); ++band) {
      const int first_row = band * band_rows, last_row = min(first_row + band_rows, out_height);
      const int end = last_row * out_width;
      __syncthreads();                                 // the band before has been read
      const int offset = (2 * first_row - 1) * width;  // of the tile's first element in the image
      for (int e = lane; e < elements; e += static_cast<int>(kWarpSize)) {
        const unsigned place = places[static_cast<unsigned>(e)];
        const bool inside = offset + e >= 0 && offset + e < plane;
#pragma unroll
        for (int k = 0; k < static_cast<int>(kLanes / kGroupChannels); ++k) {
          const int channel = warp + k * static_cast<int>(kGroupChannels);
          const bool exists = inside && first_in + channel < s.in_channels;
          tile[place + channel] = exists ? from[channel * plane + offset + e] : 0.0f;
        }
      }
      __syncthreads();
      if (!has_channel) continue;
      for (int begin = first_row * out_width; begin < end; begin += static_cast<int>(kWarpSize)) {
        const int p = begin + lane;
        const LaneWindow window = load_window(dy, choice, window_base + p, p < end);
        const bool passes = window.place != kNothingPassed;
        const int row = p / out_width, column = p % out_width;
        const int corner = (2 * (row - first_row) + window.place / 2) * row_stride +
                           (2 * column + window.place % 2) * static_cast<int>(kPlaceStride);
        bias_sum += passes ? window.gradient : 0.0f;
        for (unsigned left = __ballot_sync(0xFFFFFFFFu, passes); left != 0; left &= left - 1) {
          const int source = __ffs(static_cast<int>(left)) - 1;
          const float gradient = __shfl_sync(0xFFFFFFFFu, window.gradient, source);
          const float* neighbours = tile + __shfl_sync(0xFFFFFFFFu, corner, source) + lane;
#pragma unroll
          for (int k = 0; k < 9; ++k) {
            sum[k] = __fmaf_rn(
                gradient, neighbours[k / 3 * row_stride + k % 3 * static_cast<int>(kPlaceStride)], sum[k]);
          }
        }
      }
    }
#pragma unroll
    for (int k = 0; k < 9; ++k) total[k] += sum[k];
  }

  const double bias_total = warp_reduce(static_cast<double>(bias_sum), Sum());
  __syncthreads();
#pragma unroll
  for (int k = 0; k < 9; ++k) tile[warp * 9 * static_cast<int>(kLanes) + lane * 9 + k] = total[k];
  __syncwarp();
  if (!has_channel) return;
  float* to = partials + rest.remainder * partial_count(s);
  const int taps = 9 * static_cast<int>(min(std::int64_t{kLanes}, s.in_channels - first_in));
  for (int e = lane; e < taps; e += static_cast<int>(kWarpSize)) {
    to[(out_channel * s.in_channels + first_in) * 9 + e] = tile[warp * 9 * static_cast<int>(kLanes) + e];
  }
  if (lane == 0 && first_in == 0) {
    to[s.out_channels * s.in_channels * 9 + out_channel] = static_cast<float>(bias_total);
  }
}

// Lanes are windows. A block: kGroupChannels output channels, the images of a split.
template <int channels>
__global__ void __launch_bounds__(kElementThreads, channels == 1 ? 4 : 3)
    pooled_conv_few_weights_kernel(PooledConvShape s, WeightsPlan plan, const float* __restrict__ x,
                                   const float* __restrict__ dy, const std::uint8_t* __restrict__ choice,
                                   float* __restrict__ partials) {
  constexpr int kTaps = 9 * channels, kInFlight = channels < 4 ? 4 : 2;
  float* tile = dynamic_shared<float>();
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int out_width = static_cast<int>(s.out_width()),
            windows = static_cast<int>(s.out_height()) * out_width;
  const int padded_width = static_cast<int>(s.width) + 2;
  const int places = (static_cast<int>(s.height) + 2) * padded_width;
  const Quotient at = divide(blockIdx.x, plan.splits);  // group of output channels, split
  const std::int64_t out_channel = at.quotient * kGroupChannels + threadIdx.x / kWarpSize;
  const bool has_channel = out_channel < s.out_channels;

  float sum[kTaps] = {};
  float bias_sum = 0;
  const std::int64_t first_image = at.remainder * plan.images;
  const std::int64_t last_image = min(first_image + plan.images, s.batch);
  for (std::int64_t image = first_image; image < last_image; ++image) {
    __syncthreads();  // the image before has been read
    stage_few_channels<channels>(s, image, x, tile);
    __syncthreads();
    if (!has_channel) continue;
    const std::int64_t window_base = (image * s.out_channels + out_channel) * windows;
    for (int begin = lane; begin < windows; begin += kInFlight * static_cast<int>(kWarpSize)) {
      LaneWindow loaded[kInFlight];
#pragma unroll
      for (int j = 0; j < kInFlight; ++j) {
        const int p = begin + j * static_cast<int>(kWarpSize);
        loaded[j] = load_window(dy, choice, window_base + p, p < windows);
      }
#pragma unroll
      for (int j = 0; j < kInFlight; ++j) {
        if (loaded[j].place == kNothingPassed) continue;
        const int p = begin + j * static_cast<int>(kWarpSize);
        const float* corner = tile + (2 * (p / out_width) + loaded[j].place / 2) * padded_width +
                              2 * (p % out_width) + loaded[j].place % 2;
        bias_sum += loaded[j].gradient;
#pragma unroll
        for (int c = 0; c < channels; ++c) {
#pragma unroll
          for (int k = 0; k < 9; ++k) {
            sum[9 * c + k] = __fmaf_rn(loaded[j].gradient, corner[c * places + k / 3 * padded_width + k % 3],
                                       sum[9 * c + k]);
          }
        }
      }
    }
  }

  float* to = partials + at.remainder * partial_count(s);
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const float tap = warp_reduce(sum[k], Sum());
    if (lane == 0 && has_channel) to[out_channel * kTaps + k] = tap;
  }
  const double bias_total = warp_reduce(static_cast<double>(bias_sum), Sum());
  if (lane == 0 && has_channel) to[s.out_channels * kTaps + out_channel] = static_cast<float>(bias_total);
}

// dw and db: a block has 32 elements; each warp adds up every 8th split in order, the first then the
// warps' sums.
template <unsigned threads>
__global__ void __launch_bounds__(threads)
    pooled_conv_total_kernel(PooledConvShape s, std::int64_t splits, const float* __restrict__ partials,
                             float* __restrict__ dw, float* __restrict__ db) {
  constexpr unsigned kWarps = threads / kWarpSize;
  __shared__ SharedArray<double[kWarpSize], kWarps> sums;
  const unsigned lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const std::int64_t count = partial_count(s), weights = count - s.out_channels;
  const std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * kWarpSize + lane;
  double sum = 0;
  if (e < count) {
#pragma unroll 8
    for (std::int64_t split = warp; split < splits; split += kWarps) {
      sum += static_cast<double>(partials[split * count + e]);
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || e >= count) return;
  for (unsigned other = 1; other < kWarps; ++other) sum += sums[other][lane];
  if (e < weights) {
    dw[e] = static_cast<float>(sum);
  } else {
    db[e - weights] = static_cast<float>(sum);
  }
}

template <int channels, class Gpu>
void launch_pooled_conv_few_weights(Gpu& gpu, const PooledConvShape& s, const WeightsPlan& plan,
                                    const float* x, const float* dy, const std::uint8_t* choice,
                                    float* partials) {
  const std::int64_t groups = pooled_ceil(s.out_channels, kGroupChannels);
  const LaunchShape blocks{grid_blocks(groups * plan.splits, 1), kElementThreads,
                           static_cast<std::size_t>(few_tile_floats(s)) * sizeof(float)};
  gpu.launch(QMSE_KERNEL(pooled_conv_few_weights_kernel<channels>), blocks, s, plan, x, dy, choice, partials);
}

inline constexpr unsigned kTotalThreads = 256;

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void pooled_conv_weights(Gpu& gpu, const PooledConvShape& s, const float* x, const float* dy,
                         const std::uint8_t* choice, float* dw, float* db, float* partials) {
  using namespace device;
  const WeightsPlan plan = plan_weights(s);
  switch (s.in_channels) {
    case 1:
      launch_pooled_conv_few_weights<1>(gpu, s, plan, x, dy, choice, partials);
      break;
    case 2:
      launch_pooled_conv_few_weights<2>(gpu, s, plan, x, dy, choice, partials);
      break;
    case 3:
      launch_pooled_conv_few_weights<3>(gpu, s, plan, x, dy, choice, partials);
      break;
    case 4:
      launch_pooled_conv_few_weights<4>(gpu, s, plan, x, dy, choice, partials);
      break;
    default: {
      const std::int64_t blocks =
          pooled_ceil(s.out_channels, kGroupChannels) * pooled_ceil(s.in_channels, kLanes) * plan.splits;
      // At the end the tile holds the block's sums.
      const std::int64_t floats =
          std::max(weights_tile_places(s, plan.rows) * kPlaceStride, kGroupChannels * kLanes * 9);
      gpu.launch(QMSE_KERNEL(pooled_conv_weights_kernel<kElementThreads>),
                 LaunchShape{grid_blocks(blocks, 1), kElementThreads,
                             static_cast<std::size_t>(floats) * sizeof(float)},
                 s, plan, x, dy, choice, partials);
    }
  }
  gpu.launch(QMSE_KERNEL(pooled_conv_total_kernel<kTotalThreads>),
             LaunchShape{grid_blocks(partial_count(s), kWarpSize), kTotalThreads}, s, plan.splits, partials,
             dw, db);
}

}  // namespace qmse
