// Between plain [C, pixels] and blocked [C / block, pixels, block] images of f32. The last block's missing
// channels are zeros.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/simd.h"

namespace qmse {
namespace QMSE_ISA {

namespace blocked_layout_detail {

inline constexpr std::int64_t kLanes = kSimdLanes<float>;

// step(first) for the pixels in eights; the last eight begin earlier where fewer are left. Needs eight.
template <class Step>
void for_eights(std::int64_t pixels, const Step& step) {
  for (std::int64_t p = 0; p + kLanes <= pixels; p += kLanes) step(p);
  if (pixels % kLanes != 0) step(pixels - kLanes);
}

}  // namespace blocked_layout_detail

// to[p * to_pixel + c] = from[c * from_channel + p] for up to two vectors of channels, pixel by pixel; the
// lanes that are missing in a pixel's last vector are zeros, which the next pixel overwrites where it begins
// in them.
inline void lanes_from_plain(std::int64_t channels, std::int64_t pixels, const float* from,
                             std::int64_t from_channel, float* to, std::int64_t to_pixel) {
  using blocked_layout_detail::for_eights;
  using blocked_layout_detail::kLanes;
  const auto load = [&]<int vectors>(std::int64_t p) {
    Simd<float> tile[vectors][kLanes];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
#pragma GCC unroll 8
      for (std::int64_t k = 0; k < kLanes; ++k) {
        const std::int64_t c = v * kLanes + k;
        tile[v][k] = c < channels ? simd_load(from + c * from_channel + p) : Simd<float>{};
      }
      simd_transpose(tile[v]);
    }
#pragma GCC unroll 8
    for (std::int64_t k = 0; k < kLanes; ++k) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) simd_store(to + (p + k) * to_pixel + v * kLanes, tile[v][k]);
    }
  };
  if (pixels < kLanes) {
    const std::int64_t lanes = channels > kLanes ? 2 * kLanes : kLanes;
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (std::int64_t c = 0; c < lanes; ++c)
        to[p * to_pixel + c] = c < channels ? from[c * from_channel + p] : 0.0f;
    }
  } else if (channels > kLanes) {
    for_eights(pixels, [&](std::int64_t p) { load.template operator()<2>(p); });
  } else {
    for_eights(pixels, [&](std::int64_t p) { load.template operator()<1>(p); });
  }
}

// The way back; all eight lanes of `from` are read.
inline void plain_from_lanes(std::int64_t channels, std::int64_t pixels, const float* from,
                             std::int64_t from_pixel, float* to, std::int64_t to_channel) {
  using blocked_layout_detail::for_eights;
  using blocked_layout_detail::kLanes;
  if (pixels < kLanes) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t p = 0; p < pixels; ++p) to[c * to_channel + p] = from[p * from_pixel + c];
    }
    return;
  }
  for_eights(pixels, [&](std::int64_t p) {
    Simd<float> tile[kLanes];
#pragma GCC unroll 8
    for (std::int64_t k = 0; k < kLanes; ++k) tile[k] = simd_load(from + (p + k) * from_pixel);
    simd_transpose(tile);
#pragma GCC unroll 8
    for (std::int64_t c = 0; c < kLanes; ++c) {
      if (c < channels) simd_store(to + c * to_channel + p, tile[c]);
    }
  });
}

inline void plain_to_blocked(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* plain, float* blocked) {
  using blocked_layout_detail::kLanes;
  for (std::int64_t first = 0; first < channels; first += block) {
    for (std::int64_t c = 0; c < block; c += kLanes) {
      lanes_from_plain(std::clamp<std::int64_t>(channels - first - c, 0, kLanes), pixels,
                       plain + (first + c) * pixels, pixels, blocked + first * pixels + c, block);
    }
  }
}

inline void blocked_to_plain(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* blocked, float* plain) {
  using blocked_layout_detail::kLanes;
  for (std::int64_t c = 0; c < channels; c += kLanes) {
    plain_from_lanes(std::min(kLanes, channels - c), pixels, blocked + c / block * block * pixels + c % block,
                     block, plain + c * pixels, pixels);
  }
}

}  // namespace QMSE_ISA
}  // namespace qmse
