#include <utility>

#include "kernels/conv2d/store_tile.h"
#include "kernels/conv2d/winograd_math.h"
#include "kernels/conv2d/winograd_tiles.h"
#include "kernels/cpu/simd.h"

namespace qmse::QMSE_ISA {

namespace {

using V = WideSimd<float>;
constexpr std::int64_t kLanes = kWideLanes<float>, kPanel = 2 * kLanes;
constexpr std::int64_t kPlaces = kTilePlaces, kTiles = kTilesTogether;

// The nearest of 0 .. size - 1.
std::int64_t within(std::int64_t at, std::int64_t size) { return at < 0 ? 0 : at < size ? at : size - 1; }

// y[r] [vectors * kLanes] = sum over i of x[r][i] * w[i] [vectors * kLanes]
template <int vectors, int rows>
void multiply(std::int64_t inputs, const float* x, std::int64_t x_row, const float* w, float* y,
              std::int64_t y_row) {
  V sums[rows][vectors];
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = V{};
  }
  for (std::int64_t i = 0; i < inputs; ++i) {
    V factors[vectors];
    for (int v = 0; v < vectors; ++v) factors[v] = simd_load<V>(w + (i * vectors + v) * kLanes);
#pragma GCC unroll 24
    for (int r = 0; r < rows; ++r) {
      const V value = simd_set<V>(x[r * x_row + i]);
      for (int v = 0; v < vectors; ++v) sums[r][v] = simd_fma(value, factors[v], sums[r][v]);
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) simd_store(y + r * y_row + v * kLanes, sums[r][v]);
  }
}

// The same for any number of rows.
template <int vectors>
void multiply_rows(std::int64_t count, std::int64_t inputs, const float* x, std::int64_t x_row,
                   const float* w, float* y, std::int64_t y_row) {
  constexpr int kRows = (kWideBytes == 64 ? 24 : 12) / vectors;  // whose sums are in registers
  const auto rest = [&]<int... row>(std::integer_sequence<int, row...>) {
    ((count == row + 1 ? multiply<vectors, row + 1>(inputs, x, x_row, w, y, y_row) : void()), ...);
  };
  for (; count >= kRows; count -= kRows, x += kRows * x_row, y += kRows * y_row)
    multiply<vectors, kRows>(inputs, x, x_row, w, y, y_row);
  rest(std::make_integer_sequence<int, kRows - 1>());
}

// B' d B as [16, kTiles, I].
void transform_input(const WinogradForwardArguments& a, std::int64_t tile, std::int64_t count, float* to) {
  const std::int64_t height = a.height, width = a.width, pixels = height * width, block = a.tiles.block;
  TilePlace at = tile_place(a.tiles, tile), ahead = tile_place(a.tiles, tile + kTiles);
  for (std::int64_t t = 0; t < count; ++t, at.next(a.tiles), ahead.next(a.tiles)) {
    // What the tile adds that is to be transformed after the next products: they give it time to arrive.
    if (ahead.image < a.images) {
      for (int k = 0; k < 4; ++k) {
        const std::int64_t pixel =
            within(2 * ahead.row + k / 2, height) * width + within(2 * ahead.column + k % 2, width);
        for (std::int64_t c = 0; c < a.filled_inputs; c += block)
          __builtin_prefetch(a.x + (ahead.image * a.channels + c) * pixels + pixel * block, 0, 2);
      }
    }
    const std::int64_t h = 2 * at.row - a.padding, w = 2 * at.column - a.padding;
    const bool inside = h >= 0 && w >= 0 && h + 4 <= height && w + 4 <= width;
    // Of a tile across the border: the nearest pixels, and which of them are there.
    std::int64_t near[4][4];
    WideInt there[4][4];
    for (int r = 0; r < 4 && !inside; ++r) {
      const std::int64_t row = within(h + r, height);
      for (int k = 0; k < 4; ++k) {
        const std::int64_t column = within(w + k, width);
        near[r][k] = (row * width + column) * block;
        there[r][k] = WideInt{} - (row == h + r && column == w + k ? 1 : 0);
      }
    }
    for (std::int64_t c = 0; c < a.filled_inputs; c += kLanes) {
      const std::int64_t in_block = c & (block - 1);
      const float* from = a.x + (at.image * a.channels + c - in_block) * pixels + in_block;
      V d[4][4];
      if (inside) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
          for (int k = 0; k < 4; ++k) d[r][k] = simd_load<V>(from + ((h + r) * width + w + k) * block);
        }
      } else {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
          for (int k = 0; k < 4; ++k)
            d[r][k] = simd_choose(there[r][k], simd_load<V>(from + near[r][k]), V{});
        }
      }
      V e[4][4];  // [column, row]
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) winograd_input(d[0][k], d[1][k], d[2][k], d[3][k], e[k]);
      float* place = to + t * a.filled_inputs + c;
      const std::int64_t step = kTiles * a.filled_inputs;
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        V v[4];
        winograd_input(e[0][r], e[1][r], e[2][r], e[3][r], v);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) simd_store(place + (4 * r + k) * step, v[k]);
      }
    }
  }
}

// A' m A from [16, kTiles, O].
template <bool pooled>
void transform_output(const WinogradForwardArguments& a, const float* from, std::int64_t tile,
                      std::int64_t count) {
  const std::int64_t row = 4 * kTiles * a.filled_outputs;
  TilePlace at = tile_place(a.tiles, tile);
  for (std::int64_t t = 0; t < count; ++t, at.next(a.tiles)) {
    for (std::int64_t c = 0; c < a.filled_outputs; c += kLanes) {
      V s[4][2], y[2][2];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const float* m = from + k * kTiles * a.filled_outputs + t * a.filled_outputs + c;
        winograd_output(simd_load<V>(m), simd_load<V>(m + row), simd_load<V>(m + 2 * row),
                        simd_load<V>(m + 3 * row), s[k]);
      }
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) winograd_output(s[0][r], s[1][r], s[2][r], s[3][r], y[r]);
      store_tile<pooled>(a.tiles, a.to, at, c, {y[0][0], y[0][1], y[1][0], y[1][1]});
    }
  }
}

}  // namespace

void winograd_forward(const WinogradForwardArguments& a) {
  float* products = a.transformed + kPlaces * kTiles * a.filled_inputs;
  const std::int64_t tiles = a.images * a.tiles.rows * a.tiles.columns;
  for (std::int64_t tile = 0; tile < tiles; tile += kTiles) {
    const std::int64_t count = tiles - tile < kTiles ? tiles - tile : kTiles;
    transform_input(a, tile, count, a.transformed);
    for (std::int64_t place = 0; place < kPlaces; ++place) {
      const float* from = a.transformed + place * kTiles * a.filled_inputs;
      for (std::int64_t o = 0; o < a.filled_outputs; o += kPanel) {
        const float* w = a.weights + (place * a.filled_outputs + o) * a.inputs;
        float* y = products + place * kTiles * a.filled_outputs + o;
        if (o + kPanel <= a.filled_outputs) {
          multiply_rows<2>(count, a.inputs, from, a.filled_inputs, w, y, a.filled_outputs);
        } else {
          multiply_rows<1>(count, a.inputs, from, a.filled_inputs, w, y, a.filled_outputs);
        }
      }
    }
    if (a.to.bias != nullptr) {
      transform_output<true>(a, products, tile, count);
    } else {
      transform_output<false>(a, products, tile, count);
    }
  }
}

}  // namespace qmse::QMSE_ISA
