// Between plain [C, pixels] and blocked [C / block, pixels, block] images of f32. The last block's missing
// channels are zeros.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/simd.h"

namespace qmse {

inline void plain_to_blocked(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* plain, float* blocked) {
  for (std::int64_t first = 0; first < channels; first += block, blocked += pixels * block) {
    const std::int64_t width = std::min(block, channels - first);
    if (width < block) std::fill_n(blocked, pixels * block, 0.0f);
    simd_transpose(width, pixels, plain + first * pixels, pixels, blocked, block);
  }
}

inline void blocked_to_plain(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* blocked, float* plain) {
  for (std::int64_t first = 0; first < channels; first += block, blocked += pixels * block) {
    const std::int64_t width = std::min(block, channels - first);
    simd_transpose(pixels, width, blocked, block, plain + first * pixels, pixels);
  }
}

}  // namespace qmse
