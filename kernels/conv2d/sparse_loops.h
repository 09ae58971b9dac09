// The inner loops of SparseGradients: a list of places or channels, and the vectors of a kernel's taps, whose
// sums are in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/cpu/simd.h"

namespace qmse::sparse_loops {

inline constexpr std::int64_t kLanes = kSimdLanes<float>;
// Sums held in registers beside the factor: as many as there are registers.
inline constexpr std::int64_t kSums = 15;
// The same where each has an address of its own.
inline constexpr std::int64_t kAddresses = 9;

// With few taps several elements of the list are worked on at once, each with sums of its own.
constexpr int streams(int taps) { return taps <= 3 ? 4 : taps <= 5 ? 2 : 1; }

// dw[t] += values[e] * image[places[e] + offsets[t]] over the list. Where `narrow`, the places are those of
// pixels of eight floats, and the image's have `width`. Taps that are one vector behind the other in groups
// of `run` share an address: there are fewer registers for these than for sums.
template <int taps, int run, bool narrow>
void add_list(const float* image, const std::int64_t* offsets, const std::int32_t* places,
              const float* values, std::int64_t count, std::int64_t width, float* dw) {
  const auto in_image = [&](std::int64_t e) {
    if constexpr (narrow) return (places[e] >> 3) * width;
    return std::int64_t{places[e]};
  };
  constexpr int kStreams = streams(taps);
  Simd<float> sums[kStreams][taps];
  const float* starts[taps / run];
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) {
    sums[0][t] = simd_load(dw + t * kLanes);
    if (t % run == 0) starts[t / run] = image + offsets[t];
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[s][t] = Simd<float>{};
  }
  std::int64_t e = 0;
  for (; e + kStreams <= count; e += kStreams) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) {
      const Simd<float> value = simd_set(values[e + s]);
      const std::int64_t place = in_image(e + s);
#pragma GCC unroll 15
      for (int t = 0; t < taps; ++t)
        sums[s][t] = simd_fma(value, simd_load(starts[t / run] + place + t % run * kLanes), sums[s][t]);
    }
  }
  if constexpr (kStreams > 1) {
    for (; e < count; ++e) {
      const Simd<float> value = simd_set(values[e]);
#pragma GCC unroll 15
      for (int t = 0; t < taps; ++t)
        sums[0][t] = simd_fma(value, simd_load(starts[t / run] + in_image(e) + t % run * kLanes), sums[0][t]);
    }
  }
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 4
    for (int s = 1; s < kStreams; ++s) sums[0][t] += sums[s][t];
    simd_store(dw + t * kLanes, sums[0][t]);
  }
}

// image[offsets[t]] += the sum of values[e] * weights[starts[e] + t] over the list.
template <int taps>
void add_pixel(const float* weights, const std::int64_t* offsets, const std::int32_t* starts,
               const float* values, std::int64_t count, float* image) {
  Simd<float> sums[taps];
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) sums[t] = Simd<float>{};
  for (std::int64_t e = 0; e < count; ++e) {
    const Simd<float> value = simd_set(values[e]);
    const float* from = weights + starts[e];
#pragma GCC unroll 15
    for (int t = 0; t < taps; ++t) sums[t] = simd_fma(value, simd_load(from + t * kLanes), sums[t]);
  }
#pragma GCC unroll 15
  for (int t = 0; t < taps; ++t) simd_store(image + offsets[t], simd_load(image + offsets[t]) + sums[t]);
}

// The same for a row of pixels and a 3x3 kernel: the columns that neighbours share stay in registers. The
// lists of the pixels begin at first[0] .. first[width].
inline void add_row_3x3(const float* weights, const std::int32_t* starts, const float* values,
                        const std::int64_t* first, std::int64_t width, std::int64_t row, float* image) {
  Simd<float> sums[3][3] = {};
  const auto flush = [&](std::int64_t column) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int h = 0; h < 3; ++h) {
      float* to = image + h * row + column * kLanes;
      simd_store(to, simd_load(to) + sums[h][0]);
      sums[h][0] = sums[h][1];
      sums[h][1] = sums[h][2];
      sums[h][2] = Simd<float>{};
    }
  };
  for (std::int64_t w = 0; w < width; ++w) {
    for (std::int64_t e = first[w]; e < first[w + 1]; ++e) {
      const Simd<float> value = simd_set(values[e]);
      const float* from = weights + starts[e];
#pragma GCC unroll 3
      for (int h = 0; h < 3; ++h) {
#pragma GCC unroll 3
        for (int k = 0; k < 3; ++k)
          sums[h][k] = simd_fma(value, simd_load(from + (3 * h + k) * kLanes), sums[h][k]);
      }
    }
    flush(w);
  }
  flush(width);
  flush(width + 1);
}

// Calls function.operator()<n>(first) for every `most` taps, n of them from `first`.
template <std::int64_t most, class Function>
void for_taps(std::int64_t taps, const Function& function) {
  const auto call = [&]<int... n>(std::int64_t count, std::int64_t first, std::integer_sequence<int, n...>) {
    ((count == n + 1 ? function.template operator()<n + 1>(first) : void()), ...);
  };
  for (std::int64_t first = 0; first < taps; first += most)
    call(std::min(most, taps - first), first, std::make_integer_sequence<int, static_cast<int>(most)>());
}

}  // namespace qmse::sparse_loops
