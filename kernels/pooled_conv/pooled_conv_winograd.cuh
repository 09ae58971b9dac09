// The forward pass where the input has many channels, as Winograd's F(2x2, 3x3), whose output tile is a
// pooling window: per pair of channels 16 products where the direct sum takes 36. At each of the 16 places of
// a transformed tile the products are a matrix product [tiles, I] x [I, O]. A block has a run of tiles,
// numbered through the batch, and 64 output channels; a warp has one of the places, and a lane a fourth of
// the tiles times eight outputs, so that a value from shared memory meets eight, and transformed weights,
// which no other warp needs, come straight from the cache.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool_math.h"
#include "kernels/conv2d/winograd_math.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/pooled_conv/pooled_conv_plan.h"

namespace qmse::device {

inline constexpr unsigned kWinogradThreads = static_cast<unsigned>(kWinogradPlaces) * kWarpSize;
inline constexpr unsigned kTransformThreads = 64;

// The weights' transform. A thread: a pair of channels; zeros for those that fill up.
__global__ void __launch_bounds__(kTransformThreads)
    pooled_conv_transform_kernel(PooledConvShape s, const float* __restrict__ w,
                                 float* __restrict__ transformed) {
  const Quotient at = divide(grid_thread(), kWinogradOutputs);        // row, output of the block
  const Quotient row = divide(at.quotient, winograd_in_channels(s));  // block of outputs, input
  const std::int64_t out = row.quotient * kWinogradOutputs + at.remainder, in = row.remainder;
  if (out >= pooled_ceil(s.out_channels, kWinogradOutputs) * kWinogradOutputs) return;
  const bool there = out < s.out_channels && in < s.in_channels;
  const float* g = w + (out * s.in_channels + in) * 9;
  float columns[3][4];
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    winograd_weights(there ? g[k] : 0.0f, there ? g[3 + k] : 0.0f, there ? g[6 + k] : 0.0f, columns[k]);
  }
  float* to = transformed + at.quotient * kWinogradPlaces * kWinogradOutputs + at.remainder;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float places[4];
    winograd_weights(columns[0][r], columns[1][r], columns[2][r], places);
#pragma unroll
    for (int k = 0; k < 4; ++k) to[(4 * r + k) * kWinogradOutputs] = places[k];
  }
}

// The tile that a lane loads and, at the end, stores.
struct LaneTile {
  int image;   // negative where there is no tile
  int window;  // of the image, in row order
};

__device__ __forceinline__ LaneTile lane_tile(const PooledConvShape& s, int tiles) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize);
  const std::int64_t windows = s.out_height() * s.out_width();
  const std::int64_t tile = static_cast<std::int64_t>(blockIdx.x) * tiles + lane;
  if (lane >= tiles || tile >= s.batch * windows) return {-1, 0};
  const Quotient at = divide(tile, windows);
  return {static_cast<int>(at.quotient), static_cast<int>(at.remainder)};
}

// The 4x4 inputs of the lane's tile in input channel `channel`, zeros beyond the image and the channels.
// The lanes beside it have the columns left and right, but for the ends of a block's run.
template <int tiles>
__device__ __forceinline__ void load_patch(const PooledConvShape& s, const LaneTile& tile,
                                           const float* __restrict__ x, int channel, float (&patch)[4][4]) {
  const int lane = static_cast<int>(threadIdx.x % kWarpSize), in_channels = static_cast<int>(s.in_channels);
  const int height = static_cast<int>(s.height), width = static_cast<int>(s.width), columns = width / 2;
  const int row = tile.window / columns, column = tile.window % columns;
  const bool there = tile.image >= 0 && channel < in_channels;
  const float* plane =
      x + (max(tile.image, 0) * s.in_channels + min(channel, in_channels - 1)) * (height * width) +
      2 * column;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int y = 2 * row - 1 + i;
    const bool inside = there && y >= 0 && y < height;
    const float* from = plane + (inside ? y : 0) * width;
    const Group<float, 2> middle = load_aligned<2>(from);
    const float first = inside ? middle.v[0] : 0.0f, second = inside ? middle.v[1] : 0.0f;
    float left = __shfl_up_sync(0xFFFFFFFFu, second, 1), right = __shfl_down_sync(0xFFFFFFFFu, first, 1);
    if (inside && column > 0 && lane == 0) left = from[-1];
    if (inside && column + 1 < columns && lane + 1 == tiles) right = from[2];
    patch[i][0] = column > 0 ? left : 0.0f;
    patch[i][1] = first;
    patch[i][2] = second;
    patch[i][3] = column + 1 < columns ? right : 0.0f;
  }
}

// Transforms it; place k of the 16 goes to to[k * tiles].
__device__ __forceinline__ void store_transformed(const float (&patch)[4][4], int tiles, float* to) {
  float columns[4][4];
#pragma unroll
  for (int k = 0; k < 4; ++k) winograd_input(patch[0][k], patch[1][k], patch[2][k], patch[3][k], columns[k]);
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float places[4];
    winograd_input(columns[0][r], columns[1][r], columns[2][r], columns[3][r], places);
#pragma unroll
    for (int k = 0; k < 4; ++k) to[(4 * r + k) * tiles] = places[k];
  }
}

// tiles: of a block, 24 or 32. A lane's are four of the first 16 and kRest of the others; its outputs four of
// the first 32 and four of the others. Neighbouring lanes share either tiles or outputs, and so their loads.
// No static shared memory: the dynamic is all that a block may have.
template <int tiles>
__global__ void __launch_bounds__(kWinogradThreads)
    pooled_conv_winograd_kernel(PooledConvShape s, const float* __restrict__ x,
                                const float* __restrict__ transformed, const float* __restrict__ bias,
                                float* __restrict__ y, std::uint8_t* __restrict__ choice) {
  constexpr int kPlaces = static_cast<int>(kWinogradPlaces), kOutputs = static_cast<int>(kWinogradOutputs);
  constexpr int kStage = static_cast<int>(kWinogradStage), kRest = tiles / 4 - 4;
  constexpr int kChannel = kPlaces * kOutputs;  // floats of an input channel's weights
  constexpr int kStride = static_cast<int>(winograd_sum_stride(tiles));
  constexpr int kAhead = 2;  // channels whose weights are on their way
  constexpr bool kOneStage = tiles == kWinogradManyTiles;
  float* shared = dynamic_shared<float>();  // [kWinogradStage, 16, tiles], then [16, 16, kStride]
  const int warp = static_cast<int>(threadIdx.x / kWarpSize),
            lane = static_cast<int>(threadIdx.x % kWarpSize);
  const int tile_lane = lane % 2 + lane / 16 * 2, output_lane = lane / 2 % 8;
  const LaneTile tile = lane_tile(s, tiles);
  const int in_channels = static_cast<int>(winograd_in_channels(s));
  const float* own_weights =
      transformed + (static_cast<std::int64_t>(blockIdx.y) * in_channels * kPlaces + warp) * kOutputs +
      4 * output_lane;

  constexpr int kOfWarp = kStage / kPlaces;  // input channels of a stage
  float* own_inputs = shared + warp * kPlaces * tiles + lane;
  {  // Before there are sums, registers hold all of a warp's inputs at once.
    float patches[kOfWarp][4][4];
#pragma unroll
    for (int j = 0; j < kOfWarp; ++j) load_patch<tiles>(s, tile, x, j * kPlaces + warp, patches[j]);
#pragma unroll
    for (int j = 0; j < kOfWarp; ++j) {
      if (lane < tiles) store_transformed(patches[j], tiles, own_inputs + j * kPlaces * kPlaces * tiles);
    }
  }
  float sums[tiles / 4][8] = {};
  for (int first = 0; first == 0 || (!kOneStage && first < in_channels); first += kStage) {
    if (first > 0) {
      __syncthreads();  // the inputs before have been read
#pragma unroll 1
      for (int j = 0; j < kOfWarp; ++j) {
        float patch[4][4];
        load_patch<tiles>(s, tile, x, first + j * kPlaces + warp, patch);
        if (lane < tiles) store_transformed(patch, tiles, own_inputs + j * kPlaces * kPlaces * tiles);
      }
    }
    const int channels = min(kStage, in_channels - first);
    const float* stage_weights = own_weights + static_cast<std::int64_t>(first) * kChannel;
    Group<float, 4> ahead[kAhead][2];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      ahead[a][0] = load_aligned<4>(stage_weights + a * kChannel);
      ahead[a][1] = load_aligned<4>(stage_weights + a * kChannel + kOutputs / 2);
    }
    __syncthreads();
    const float* inputs = shared + warp * tiles;
#pragma unroll 1
    for (int channel = 0; channel < channels; channel += 4) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const Group<float, 4> low = ahead[q % kAhead][0], high = ahead[q % kAhead][1];
        const float* after = stage_weights + min(channel + q + kAhead, channels - 1) * kChannel;
        ahead[q % kAhead][0] = load_aligned<4>(after);
        ahead[q % kAhead][1] = load_aligned<4>(after + kOutputs / 2);
        const float* values = inputs + (channel + q) * kPlaces * tiles;
        const Group<float, 4> four = load_aligned<4>(values + 4 * tile_lane);
        const Group<float, kRest> rest = load_aligned<kRest>(values + 16 + kRest * tile_lane);
#pragma unroll
        for (int t = 0; t < tiles / 4; ++t) {
          const float value = t < 4 ? four.v[t % 4] : rest.v[t % kRest];
#pragma unroll
          for (int o = 0; o < 4; ++o) {
            sums[t][o] = __fmaf_rn(value, low.v[o], sums[t][o]);
            sums[t][4 + o] = __fmaf_rn(value, high.v[o], sums[t][4 + o]);
          }
        }
      }
    }
  }
  __syncthreads();

  // The places of a tile meet: two outputs of every lane at a time, one of them and a tile for each thread.
  const std::int64_t windows = s.out_height() * s.out_width();
#pragma unroll
  for (int pair = 0; pair < 8; pair += 2) {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float* to = shared + (warp * 16 + 8 * j + output_lane) * kStride;
      Group<float, 4> four;
#pragma unroll
      for (int t = 0; t < 4; ++t) four.v[t] = sums[t][pair + j];
      store_aligned(to + 4 * tile_lane, four);
      Group<float, kRest> rest;
#pragma unroll
      for (int t = 0; t < kRest; ++t) rest.v[t] = sums[4 + t][pair + j];
      store_aligned(to + 16 + kRest * tile_lane, rest);
    }
    __syncthreads();
    const int of_lane = pair + warp / 8;
    const std::int64_t output = static_cast<std::int64_t>(blockIdx.y) * kOutputs +
                                of_lane / 4 * (kOutputs / 2) + 4 * (warp % 8) + of_lane % 4;
    if (tile.image >= 0 && output < s.out_channels) {
      const float* from = shared + warp * kStride + lane;
      float columns[4][2], rows[2][2];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        winograd_output(from[k * 16 * kStride], from[(4 + k) * 16 * kStride], from[(8 + k) * 16 * kStride],
                        from[(12 + k) * 16 * kStride], columns[k]);
      }
      const float shift = bias[output];
      ReluPoolWindow<float> window;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        winograd_output(columns[0][r], columns[1][r], columns[2][r], columns[3][r], rows[r]);
        window.visit(rows[r][0] + shift, 2 * r);
        window.visit(rows[r][1] + shift, 2 * r + 1);
      }
      const std::int64_t out = (tile.image * s.out_channels + output) * windows + tile.window;
      y[out] = window.best;
      choice[out] = static_cast<std::uint8_t>(window.choice);
    }
    if (pair < 6) __syncthreads();
  }
}

template <int tiles, class Gpu>
void launch_pooled_conv_winograd_of(Gpu& gpu, const PooledConvShape& s, const float* x,
                                    const float* transformed, const float* bias, float* y,
                                    std::uint8_t* choice) {
  const LaunchShape blocks{
      Extent{grid_blocks(winograd_tiles(s), tiles), grid_blocks(s.out_channels, kWinogradOutputs)},
      kWinogradThreads, static_cast<std::size_t>(winograd_shared_bytes(tiles))};
  gpu.launch(QMSE_KERNEL(pooled_conv_winograd_kernel<tiles>), blocks, s, x, transformed, bias, y, choice);
}

template <class Gpu>
void launch_pooled_conv_winograd(Gpu& gpu, const PooledConvShape& s, const float* x, const float* w,
                                 const float* bias, float* y, std::uint8_t* choice, float* transformed) {
  gpu.launch(QMSE_KERNEL(pooled_conv_transform_kernel),
             LaunchShape{grid_blocks(pooled_conv_transformed(s) / kWinogradPlaces, kTransformThreads),
                         kTransformThreads},
             s, w, transformed);
  if (winograd_tiles_of_block(s) == kWinogradFewTiles) {
    launch_pooled_conv_winograd_of<kWinogradFewTiles>(gpu, s, x, transformed, bias, y, choice);
  } else {
    launch_pooled_conv_winograd_of<kWinogradManyTiles>(gpu, s, x, transformed, bias, y, choice);
  }
}

}  // namespace qmse::device
