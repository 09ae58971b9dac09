#include "kernels/conv2d/winograd_forward.h"

#include <algorithm>
#include <utility>

#include "kernels/conv2d/winograd_math.h"
#include "kernels/cpu/ranges.h"
#include "kernels/cpu/simd.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = kSimdLanes<float>;
constexpr std::int64_t kPlaces = 16;         // of a transformed tile
constexpr std::int64_t kPanel = 2 * kLanes;  // outputs worked on together; the last ones may be one vector
constexpr std::int64_t kTiles = 24;          // worked on together: their transforms stay in the cache

std::int64_t filled(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

// y[r] [vectors * kLanes] = sum over i of x[r][i] * w[i] [vectors * kLanes]
template <int vectors, int rows>
void multiply(std::int64_t inputs, const float* x, std::int64_t x_row, const float* w, float* y,
              std::int64_t y_row) {
  Simd<float> sums[rows][vectors];
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) sums[r][v] = Simd<float>{};
  }
  for (std::int64_t i = 0; i < inputs; ++i) {
    Simd<float> factors[vectors];
    for (int v = 0; v < vectors; ++v) factors[v] = simd_load(w + (i * vectors + v) * kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Simd<float> value = simd_set(x[r * x_row + i]);
      for (int v = 0; v < vectors; ++v) sums[r][v] = simd_fma(value, factors[v], sums[r][v]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) simd_store(y + r * y_row + v * kLanes, sums[r][v]);
  }
}

// The same for any number of rows.
template <int vectors>
void multiply_rows(std::int64_t count, std::int64_t inputs, const float* x, std::int64_t x_row,
                   const float* w, float* y, std::int64_t y_row) {
  constexpr int kRows = vectors == 1 ? 12 : 6;  // whose sums are in registers
  const auto rest = [&]<int... row>(std::integer_sequence<int, row...>) {
    ((count == row + 1 ? multiply<vectors, row + 1>(inputs, x, x_row, w, y, y_row) : void()), ...);
  };
  for (; count >= kRows; count -= kRows, x += kRows * x_row, y += kRows * y_row)
    multiply<vectors, kRows>(inputs, x, x_row, w, y, y_row);
  rest(std::make_integer_sequence<int, kRows - 1>());
}

}  // namespace

WinogradForward::WinogradForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block)
    : context_(context),
      shape_(shape),
      block_(block),
      inputs_(filled(shape.in_channels, kLanes)),
      outputs_(filled(shape.out_channels, kLanes)),
      output_tiles_(shape, block),
      tiles_(output_tiles_.rows() * output_tiles_.columns()),
      weights_(context.memory(), sizeof(float) * kPlaces * shape.in_channels * outputs_,
               "convolution weights"),
      scratch_(context.memory(),
               sizeof(float) * context.threads().size() * kPlaces * kTiles * (inputs_ + outputs_),
               "convolution tiles") {
  std::fill_n(weights_.as<float>(), kPlaces * shape.in_channels * outputs_, 0.0f);
}

// G g G' as [16, O / kPanel, I, kPanel or what is left].
void WinogradForward::begin(const float* w) {
  for_ranges(context_.threads(), shape_.out_channels, range_items(shape_.in_channels * kPlaces * 4),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t o = begin; o < end; ++o) {
                 for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
                   const float* g = w + (o * shape_.in_channels + i) * 9;
                   float columns[3][4];
                   for (int k = 0; k < 3; ++k) winograd_weights(g[k], g[3 + k], g[6 + k], columns[k]);
                   const std::int64_t panel = o / kPanel * kPanel;
                   float* to = weights_.as<float>() + panel * shape_.in_channels +
                               i * std::min(kPanel, outputs_ - panel) + o - panel;
                   const std::int64_t place = shape_.in_channels * outputs_;
                   for (int r = 0; r < 4; ++r) {
                     float row[4];
                     winograd_weights(columns[0][r], columns[1][r], columns[2][r], row);
                     for (int k = 0; k < 4; ++k) to[(4 * r + k) * place] = row[k];
                   }
                 }
               }
             });
}

// B' d B as [16, kTiles, I].
void WinogradForward::transform_input(const float* x, std::int64_t images, std::int64_t tile, std::int64_t count,
                                      float* to) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  const std::int64_t channels = filled(shape_.in_channels, block_);
  ForwardTiles::Place at = output_tiles_.place(tile), ahead = output_tiles_.place(tile + kTiles);
  for (std::int64_t t = 0; t < count; ++t, output_tiles_.next(at), output_tiles_.next(ahead)) {
    if (ahead.image < images) {
      for (int r = 0; r < 2; ++r) {
        const std::int64_t row = std::min(2 * ahead.row + r, height - 1), column = 2 * ahead.column;
        for (std::int64_t c = 0; c < inputs_; c += block_) {
          const float* from = x + (ahead.image * channels + c) * pixels + (row * width + column) * block_;
          __builtin_prefetch(from, 0, 2);
          __builtin_prefetch(from + block_, 0, 2);
        }
      }
    }
    const std::int64_t h = 2 * at.row - shape_.padding, w = 2 * at.column - shape_.padding;
    const bool inside = h >= 0 && w >= 0 && h + 4 <= height && w + 4 <= width;
    // Of a tile across the border: the nearest pixels, and which of them are there.
    std::int64_t near[4][4];
    SimdInt there[4][4];
    for (int r = 0; r < 4 && !inside; ++r) {
      const std::int64_t row = std::clamp<std::int64_t>(h + r, 0, height - 1);
      for (int k = 0; k < 4; ++k) {
        const std::int64_t column = std::clamp<std::int64_t>(w + k, 0, width - 1);
        near[r][k] = (row * width + column) * block_;
        there[r][k] = SimdInt{} - (row == h + r && column == w + k ? 1 : 0);
      }
    }
    for (std::int64_t c = 0; c < inputs_; c += kLanes) {
      const std::int64_t in_block = c & (block_ - 1);
      const float* from = x + (at.image * channels + c - in_block) * pixels + in_block;
      Simd<float> d[4][4];
      if (inside) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
          for (int k = 0; k < 4; ++k) d[r][k] = simd_load(from + ((h + r) * width + w + k) * block_);
        }
      } else {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
          for (int k = 0; k < 4; ++k)
            d[r][k] = simd_choose(there[r][k], simd_load(from + near[r][k]), Simd<float>{});
        }
      }
      Simd<float> e[4][4];  // [column, row]
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) winograd_input(d[0][k], d[1][k], d[2][k], d[3][k], e[k]);
      float* place = to + t * inputs_ + c;
      const std::int64_t step = kTiles * inputs_;
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        Simd<float> v[4];
        winograd_input(e[0][r], e[1][r], e[2][r], e[3][r], v);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) simd_store(place + (4 * r + k) * step, v[k]);
      }
    }
  }
}

// A' m A from [16, kTiles, O].
template <bool pooled>
void WinogradForward::transform_output(const float* from, std::int64_t tile, std::int64_t count,
                                       const ForwardOutput& to) const {
  const std::int64_t row = 4 * kTiles * outputs_;
  ForwardTiles::Place at = output_tiles_.place(tile);
  for (std::int64_t t = 0; t < count; ++t, output_tiles_.next(at)) {
    for (std::int64_t c = 0; c < outputs_; c += kLanes) {
      Simd<float> s[4][2], y[2][2];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const float* m = from + k * kTiles * outputs_ + t * outputs_ + c;
        winograd_output(simd_load(m), simd_load(m + row), simd_load(m + 2 * row), simd_load(m + 3 * row),
                        s[k]);
      }
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) winograd_output(s[0][r], s[1][r], s[2][r], s[3][r], y[r]);
      output_tiles_.store<pooled>(to, at, c, {y[0][0], y[0][1], y[1][0], y[1][1]});
    }
  }
}

void WinogradForward::run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const {
  float* transformed = scratch_.as<float>() + worker * kPlaces * kTiles * (inputs_ + outputs_);
  float* products = transformed + kPlaces * kTiles * inputs_;
  const std::int64_t inputs = shape_.in_channels;
  for (std::int64_t tile = 0; tile < images * tiles_; tile += kTiles) {
    const std::int64_t count = std::min(kTiles, images * tiles_ - tile);
    transform_input(x, images, tile, count, transformed);
    for (std::int64_t place = 0; place < kPlaces; ++place) {
      const float* from = transformed + place * kTiles * inputs_;
      for (std::int64_t o = 0; o < outputs_; o += kPanel) {
        const float* w = weights_.as<float>() + (place * outputs_ + o) * inputs;
        float* y = products + place * kTiles * outputs_ + o;
        if (o + kPanel <= outputs_) {
          multiply_rows<2>(count, inputs, from, inputs_, w, y, outputs_);
        } else {
          multiply_rows<1>(count, inputs, from, inputs_, w, y, outputs_);
        }
      }
    }
    if (to.bias != nullptr) {
      transform_output<true>(products, tile, count, to);
    } else {
      transform_output<false>(products, tile, count, to);
    }
  }
}

}  // namespace qmse
