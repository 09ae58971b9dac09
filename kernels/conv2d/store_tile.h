// The end of a forward pass over tiles, for a *_simd.cpp.
#pragma once

#include <cstdint>

#include "kernels/bias_relu_max_pool/relu_pool_simd.h"
#include "kernels/conv2d/forward_tiles.h"
#include "kernels/cpu/simd.h"

namespace qmse {
namespace QMSE_ISA {

struct TilePlace {
  std::int64_t image, row, column;

  void next(const ForwardTiles& tiles) {
    if (++column < tiles.columns) return;
    column = 0;
    if (++row < tiles.rows) return;
    row = 0;
    ++image;
  }
};

inline TilePlace tile_place(const ForwardTiles& tiles, std::int64_t tile) {
  const std::int64_t in_image = tiles.rows * tiles.columns, at = tile % in_image;
  return {tile / in_image, at / tiles.columns, at % tiles.columns};
}

// tile[2 * h + w] of a vector of channels from c on.
template <bool pooled>
inline void store_tile(const ForwardTiles& tiles, const ForwardOutput& to, const TilePlace& at,
                       std::int64_t c, const WideSimd<float> (&tile)[4]) {
  using V = WideSimd<float>;
  const std::int64_t in_block = c & (tiles.block - 1);
  if constexpr (pooled) {
    if (2 * at.row + 1 >= tiles.height || 2 * at.column + 1 >= tiles.width) return;
    const V bias = simd_load<V>(to.bias + c);
    SimdReluPoolWindow<V, WideInt> window;
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) window.visit(tile[k] + bias, k);
    const std::int64_t image = at.image * tiles.channels, w = at.row * (tiles.width / 2) + at.column;
    simd_store(to.y + (image + c - in_block) * tiles.windows + w * tiles.block + in_block, window.best);
    std::uint8_t* choice = to.choice + (image + c) * tiles.windows + w * kSimdLanes<float>;
    wide_store_bytes(choice, choice + kSimdLanes<float> * tiles.windows, window.choice);
  } else {
    float* y = to.y + (at.image * tiles.channels + c - in_block) * tiles.pixels +
               2 * (at.row * tiles.width + at.column) * tiles.block + in_block;
    const bool right = 2 * at.column + 1 < tiles.width;
    simd_store(y, tile[0]);
    if (right) simd_store(y + tiles.block, tile[1]);
    if (2 * at.row + 1 >= tiles.height) return;
    simd_store(y + tiles.width * tiles.block, tile[2]);
    if (right) simd_store(y + (tiles.width + 1) * tiles.block, tile[3]);
  }
}

}  // namespace QMSE_ISA
}  // namespace qmse
