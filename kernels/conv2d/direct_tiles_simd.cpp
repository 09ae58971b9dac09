#include "kernels/conv2d/direct_tiles.h"
#include "kernels/conv2d/store_tile.h"
#include "kernels/cpu/simd.h"

namespace qmse::QMSE_ISA {

namespace {

using V = WideSimd<float>;
constexpr std::int64_t kLanes = kWideLanes<float>, kPanel = 2 * kLanes;

// sums[2 * h + w][v] = sum over taps and inputs for the tile whose 4x4 inputs begin at x.
template <int vectors>
inline void sum_tile(std::int64_t inputs, const float* x, std::int64_t row, std::int64_t plane,
                     const float* w, V (&sums)[4][vectors]) {
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    for (int v = 0; v < vectors; ++v) sums[k][v] = V{};
  }
#pragma GCC unroll 3
  for (int kh = 0; kh < 3; ++kh) {
#pragma GCC unroll 3
    for (int kw = 0; kw < 3; ++kw) {
      const float* from = x + kh * row + kw;
      for (std::int64_t i = 0; i < inputs; ++i, from += plane, w += vectors * kLanes) {
        const V pixels[4] = {simd_set<V>(from[0]), simd_set<V>(from[1]), simd_set<V>(from[row]),
                             simd_set<V>(from[row + 1])};
        for (int v = 0; v < vectors; ++v) {
          const V weight = simd_load<V>(w + v * kLanes);
#pragma GCC unroll 4
          for (int k = 0; k < 4; ++k) sums[k][v] = simd_fma(pixels[k], weight, sums[k][v]);
        }
      }
    }
  }
}

template <bool pooled, int vectors>
void run_panel(const ForwardTiles& tiles, const ForwardOutput& to, std::int64_t image, std::int64_t inputs,
               const float* x, std::int64_t row, std::int64_t plane, const float* w, std::int64_t c) {
  for (std::int64_t h = 0; h < tiles.rows; ++h) {
    for (std::int64_t k = 0; k < tiles.columns; ++k) {
      V sums[4][vectors];
      sum_tile<vectors>(inputs, x + 2 * (h * row + k), row, plane, w, sums);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        store_tile<pooled>(tiles, to, {image, h, k}, c + v * kLanes,
                           {sums[0][v], sums[1][v], sums[2][v], sums[3][v]});
    }
  }
}

template <bool pooled>
void run_image(const DirectForwardArguments& a) {
  const std::int64_t plane = a.rows * a.columns;
  for (std::int64_t c = 0; c < a.filled_outputs; c += kPanel) {
    const float* w = a.weights + c * 9 * a.inputs;
    if (c + kPanel <= a.filled_outputs) {
      run_panel<pooled, 2>(a.tiles, a.to, a.image, a.inputs, a.x, a.columns, plane, w, c);
    } else {
      run_panel<pooled, 1>(a.tiles, a.to, a.image, a.inputs, a.x, a.columns, plane, w, c);
    }
  }
}

}  // namespace

void direct_forward(const DirectForwardArguments& a) {
  if (a.to.bias != nullptr) return run_image<true>(a);
  run_image<false>(a);
}

}  // namespace qmse::QMSE_ISA
