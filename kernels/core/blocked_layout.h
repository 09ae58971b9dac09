// Between plain [C, pixels] and blocked [C / block, pixels, block] images of f32. The last block's missing
// channels are zeros.
#pragma once

#include <algorithm>
#include <cstdint>

namespace qmse {

inline void plain_to_blocked(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* plain, float* blocked) {
  for (std::int64_t first = 0; first < channels; first += block, blocked += pixels * block) {
    const std::int64_t width = std::min(block, channels - first);
    if (width < block) std::fill_n(blocked, pixels * block, 0.0f);
    for (std::int64_t c = 0; c < width; ++c) {
      const float* from = plain + (first + c) * pixels;
      for (std::int64_t p = 0; p < pixels; ++p) blocked[p * block + c] = from[p];
    }
  }
}

inline void blocked_to_plain(std::int64_t channels, std::int64_t pixels, std::int64_t block,
                             const float* blocked, float* plain) {
  for (std::int64_t first = 0; first < channels; first += block, blocked += pixels * block) {
    const std::int64_t width = std::min(block, channels - first);
    for (std::int64_t c = 0; c < width; ++c) {
      float* to = plain + (first + c) * pixels;
      for (std::int64_t p = 0; p < pixels; ++p) to[p] = blocked[p * block + c];
    }
  }
}

}  // namespace qmse
