// How the pooled convolution's work is cut into blocks: by sizes alone, so that no sum depends on the GPU.
// C++17: included by device code.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/pooled_conv/pooled_conv.h"

namespace qmse {

inline constexpr std::int64_t kSharedBytes = 47 * 1024;  // of a block, of the 48 KiB that every GPU has
inline constexpr std::int64_t kFewChannels = 4;          // at most: a thread keeps 4x4 places of each
inline constexpr std::int64_t kLanes = 32;               // input channels of a block, one a lane
inline constexpr std::int64_t kPlaceStride =
    kLanes + 1;                                    // floats between places; coprime to the banks' number
inline constexpr std::int64_t kGroupChannels = 8;  // output channels of a block, one a warp

QMSE_HOST_DEVICE inline std::int64_t pooled_ceil(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Gradient of weights, many channels: a block keeps a band of `rows` rows of windows of one image.
struct WeightsPlan {
  std::int64_t rows, bands, splits, images;  // images: of a split
};

inline std::int64_t weights_tile_places(const PooledConvShape& s, std::int64_t rows) {
  return (2 * rows + 2) * (s.width + 2);
}
// At most as many places as the table of a block's static shared memory holds.
inline constexpr std::int64_t kMaxPlaces = 352;

inline bool few_channels(const PooledConvShape& s) { return s.in_channels <= kFewChannels; }

inline WeightsPlan plan_weights(const PooledConvShape& s) {
  WeightsPlan plan{};
  plan.rows = s.out_height();
  if (!few_channels(s)) {
    plan.bands = 1;
    while (weights_tile_places(s, plan.rows) > kMaxPlaces && plan.rows > 1) {
      plan.rows = pooled_ceil(s.out_height(), ++plan.bands);
    }
  }
  plan.bands = pooled_ceil(s.out_height(), plan.rows);
  // Enough blocks for a large GPU, and few enough partial sums.
  const std::int64_t groups = pooled_ceil(s.out_channels, kGroupChannels) *
                              (few_channels(s) ? 1 : pooled_ceil(s.in_channels, kLanes));
  plan.images = std::max<std::int64_t>(few_channels(s) ? 1 : 2, s.batch * groups / 1024);
  plan.splits = pooled_ceil(s.batch, plan.images);
  return plan;
}

// What lies in `partials` of one split: dw [O, I, 3, 3], then db [O].
QMSE_HOST_DEVICE inline std::int64_t partial_count(const PooledConvShape& s) {
  return s.out_channels * s.in_channels * 9 + s.out_channels;
}
inline std::int64_t pooled_conv_partials(const PooledConvShape& s) {
  return plan_weights(s).splits * partial_count(s);
}

// Gradient of data: a block makes `rows` rows of windows' worth of dx, from those rows and one more on
// each side.
inline constexpr std::int64_t kDataWarps = 16;
inline constexpr std::int64_t kMaxWarpWindows = 4;
inline constexpr std::int64_t kDataChannels = kLanes;  // output channels whose weights are kept at a time

struct DataPlan {
  std::int64_t rows, bands;
  std::int64_t windows;  // of a warp
};

inline std::int64_t data_tile_bytes(const PooledConvShape& s, std::int64_t rows) {
  return std::max((2 * rows + 1) * s.width, kDataChannels * 9) * kPlaceStride * 4;
}
inline std::int64_t data_band_windows(const PooledConvShape& s, std::int64_t rows) {
  return std::min(s.out_height(), rows + 2) * s.out_width();
}
inline bool data_band_fits(const PooledConvShape& s, std::int64_t rows) {
  return data_band_windows(s, rows) <= kDataWarps * kMaxWarpWindows &&
         data_tile_bytes(s, rows) <= kSharedBytes;
}

// Bands of no rows where none fits.
inline DataPlan plan_data(const PooledConvShape& s) {
  std::int64_t bands = 1;
  // A batch of few blocks leaves most of a GPU idle: halves, then.
  if (s.batch * pooled_ceil(s.in_channels, kLanes) < 128 && s.out_height() >= 4) bands = 2;
  std::int64_t rows = pooled_ceil(s.out_height(), bands);
  while (rows > 1 && !data_band_fits(s, rows)) rows = pooled_ceil(s.out_height(), ++bands);
  if (!data_band_fits(s, rows)) return {0, 0, 0};
  return {rows, pooled_ceil(s.out_height(), rows), pooled_ceil(data_band_windows(s, rows), kDataWarps)};
}

inline std::int64_t few_tile_floats(const PooledConvShape& s) {
  return s.in_channels * (s.height + 2) * (s.width + 2);
}

// Forward, many channels: Winograd's tiles.
inline constexpr std::int64_t kWinogradPlaces = 16;   // of a transformed tile, one a warp
inline constexpr std::int64_t kWinogradOutputs = 64;  // output channels of a block
inline constexpr std::int64_t kWinogradStage = 32;    // input channels transformed at once, two a warp

// Filled up with zeros to whole groups of the inner loop.
QMSE_HOST_DEVICE inline std::int64_t winograd_in_channels(const PooledConvShape& s) {
  return pooled_ceil(s.in_channels, 4) * 4;
}
inline std::int64_t winograd_tiles(const PooledConvShape& s) {
  return s.batch * s.out_height() * s.out_width();
}
// Bits do not depend on it. Few where the blocks then still run all at once on a large GPU, and where there
// is more than one stage: with many tiles' sums a thread has no registers left for another.
inline constexpr std::int64_t kWinogradFewTiles = 24, kWinogradManyTiles = 32;
inline constexpr std::int64_t kMultiprocessors = 132;  // an H100's
inline std::int64_t winograd_tiles_of_block(const PooledConvShape& s) {
  const std::int64_t blocks =
      pooled_ceil(winograd_tiles(s), kWinogradFewTiles) * pooled_ceil(s.out_channels, kWinogradOutputs);
  return s.in_channels > kWinogradStage || blocks <= kMultiprocessors ? kWinogradFewTiles
                                                                      : kWinogradManyTiles;
}
// Between outputs' sums in shared memory: eight lanes, two next to each other, meet all banks.
QMSE_HOST_DEVICE constexpr std::int64_t winograd_sum_stride(std::int64_t tiles) {
  return tiles == kWinogradManyTiles ? tiles + 8 : tiles;
}
inline std::int64_t winograd_shared_bytes(std::int64_t tiles) {
  return 4 * kWinogradPlaces * std::max(kWinogradStage * tiles, 16 * winograd_sum_stride(tiles));
}
// Transformed weights [O / 64, I, 16, 64], both channels filled up.
inline std::int64_t pooled_conv_transformed(const PooledConvShape& s) {
  if (few_channels(s)) return 0;
  return pooled_ceil(s.out_channels, kWinogradOutputs) * kWinogradOutputs * winograd_in_channels(s) *
         kWinogradPlaces;
}

}  // namespace qmse
