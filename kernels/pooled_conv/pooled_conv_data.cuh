// The gradient of the input from the windows where something passed. A warp has a few windows of one image,
// its lanes are input channels, and it keeps, of each window, the 4x4 places that any of its four outputs
// reaches: an output channel adds g * w[3x3] at the place that passed. Votes over the lanes, each looking at
// another output channel, say which channels let which place pass. Neighbouring windows' places overlap, so
// they are added up in shared memory in four turns, by the parity of a window's row and column: within a turn
// nothing overlaps, and the order is fixed.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_weights.cuh"

namespace qmse::device {

inline constexpr unsigned kDataThreads = static_cast<unsigned>(kDataWarps) * kWarpSize;
inline constexpr int kDataTaps = 9 * static_cast<int>(kPlaceStride);  // of an output channel in shared memory

// Adds g * taps of every output channel of the chunk where `place` passed. window: of the lane's output
// channel; taps: the lane's input channel's of the chunk's first output channel, kDataTaps apart.
template <int place>
__device__ __forceinline__ void add_passing(const LaneWindow& window, const float* taps,
                                            float (&places)[16]) {
  for (unsigned left = __ballot_sync(0xFFFFFFFFu, window.place == place); left != 0; left &= left - 1) {
    const int channel = __ffs(static_cast<int>(left)) - 1;
    const float gradient = __shfl_sync(0xFFFFFFFFu, window.gradient, channel);
    const float* tap = taps + channel * kDataTaps;
#pragma unroll
    for (int k = 0; k < 9; ++k) {
      float& sum = places[(place / 2 + k / 3) * 4 + place % 2 + k % 3];
      sum = __fmaf_rn(gradient, tap[k * static_cast<int>(kPlaceStride)], sum);
    }
  }
}

// A block: one image's band, kLanes input channels; `windows` of each warp.
template <int windows>
__global__ void __launch_bounds__(kDataThreads)
    pooled_conv_data_kernel(PooledConvShape s, DataPlan plan, const float* __restrict__ w,
                            const float* __restrict__ dy, const std::uint8_t* __restrict__ choice,
                            float* __restrict__ dx) {
  float* tile = dynamic_shared<float>();  // first taps [channel, 9, kPlaceStride], then places of dx
  const int warp = static_cast<int>(threadIdx.x / kWarpSize),
            lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int width = static_cast<int>(s.width), height = static_cast<int>(s.height), plane = width * height;
  const int out_width = static_cast<int>(s.out_width()), out_height = static_cast<int>(s.out_height());
  const std::int64_t chunks = pooled_ceil(s.in_channels, kLanes);
  const Quotient at = divide(blockIdx.x, plan.bands);  // rest, band
  const Quotient rest = divide(at.quotient, chunks);   // image, chunk of input channels
  const std::int64_t image = rest.quotient, first_in = rest.remainder * kLanes;
  const int in_channels = static_cast<int>(min(std::int64_t{kLanes}, s.in_channels - first_in));
  const int band = static_cast<int>(at.remainder), band_rows = static_cast<int>(plan.rows);
  // Rows of windows whose places lie in the band's rows of dx, and those rows.
  const int first_row = max(band * band_rows - 1, 0), last_row = min((band + 1) * band_rows + 1, out_height);
  const int band_windows = (last_row - first_row) * out_width;
  const int first_y = 2 * band * band_rows;
  const int last_y = band + 1 == static_cast<int>(plan.bands) ? height : first_y + 2 * band_rows;

  float places[windows][16] = {};
  for (std::int64_t first = 0; first < s.out_channels; first += kDataChannels) {
    const int channels = static_cast<int>(min(std::int64_t{kDataChannels}, s.out_channels - first));
    LaneWindow window[windows];  // of output channel first + lane
    const std::int64_t base = ((image * s.out_channels + first + lane) * out_height + first_row) * out_width;
#pragma unroll
    for (int q = 0; q < windows; ++q) {
      const int p = warp * windows + q;
      window[q] = load_window(dy, choice, base + p, lane < channels && p < band_windows);
    }
    __syncthreads();  // the channels before have been read
    for (int c = warp; c < channels; c += static_cast<int>(kDataWarps)) {
      const float* from = w + ((first + c) * s.in_channels + first_in) * 9;
#pragma unroll 9
      for (int e = lane; e < in_channels * 9; e += static_cast<int>(kWarpSize)) {
        tile[c * kDataTaps + e % 9 * static_cast<int>(kPlaceStride) + e / 9] = from[e];
      }
    }
    __syncthreads();
#pragma unroll
    for (int q = 0; q < windows; ++q) {
      add_passing<0>(window[q], tile + lane, places[q]);
      add_passing<1>(window[q], tile + lane, places[q]);
      add_passing<2>(window[q], tile + lane, places[q]);
      add_passing<3>(window[q], tile + lane, places[q]);
    }
  }

  __syncthreads();
  const int tile_places = (last_y - first_y) * width;
  for (int e = static_cast<int>(threadIdx.x); e < tile_places * static_cast<int>(kPlaceStride);
       e += static_cast<int>(kDataThreads)) {
    tile[e] = 0;
  }
  for (int turn = 0; turn < 4; ++turn) {
    __syncthreads();
#pragma unroll
    for (int q = 0; q < windows; ++q) {
      const int p = warp * windows + q;
      const int row = first_row + p / out_width, column = p % out_width;
      if (p >= band_windows || row % 2 * 2 + column % 2 != turn) continue;
#pragma unroll
      for (int k = 0; k < 16; ++k) {
        const int y = 2 * row - 1 + k / 4, x = 2 * column - 1 + k % 4;
        if (y < first_y || y >= last_y || x < 0 || x >= width) continue;
        tile[((y - first_y) * width + x) * static_cast<int>(kPlaceStride) + lane] += places[q][k];
      }
    }
  }
  __syncthreads();
  for (int c = warp; c < in_channels; c += static_cast<int>(kDataWarps)) {
    float* to = dx + (image * s.in_channels + first_in + c) * plane + first_y * width;
    for (int e = lane; e < tile_places; e += static_cast<int>(kWarpSize)) {
      to[e] = tile[e * static_cast<int>(kPlaceStride) + c];
    }
  }
}

template <int windows, class Gpu>
void launch_pooled_conv_data_of(Gpu& gpu, const PooledConvShape& s, const DataPlan& plan, const float* w,
                                const float* dy, const std::uint8_t* choice, float* dx) {
  const LaunchShape blocks{grid_blocks(s.batch * pooled_ceil(s.in_channels, kLanes) * plan.bands, 1),
                           kDataThreads, static_cast<std::size_t>(data_tile_bytes(s, plan.rows))};
  gpu.launch(QMSE_KERNEL(pooled_conv_data_kernel<windows>), blocks, s, plan, w, dy, choice, dx);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void pooled_conv_data(Gpu& gpu, const PooledConvShape& s, const float* w, const float* dy,
                      const std::uint8_t* choice, float* dx) {
  using namespace device;
  const DataPlan plan = plan_data(s);
  switch (plan.windows) {
    case 1:
      return launch_pooled_conv_data_of<1>(gpu, s, plan, w, dy, choice, dx);
    case 2:
      return launch_pooled_conv_data_of<2>(gpu, s, plan, w, dy, choice, dx);
    case 3:
      return launch_pooled_conv_data_of<3>(gpu, s, plan, w, dy, choice, dx);
    case 4:
      return launch_pooled_conv_data_of<4>(gpu, s, plan, w, dy, choice, dx);
    default:
      throw ShapeError("pooled_conv_data: the image is too wide");
  }
}

}  // namespace qmse
