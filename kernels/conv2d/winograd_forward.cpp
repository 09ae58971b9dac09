#include "kernels/conv2d/winograd_forward.h"

#include <algorithm>

#include "kernels/cpu/ranges.h"
#include "kernels/cpu/simd.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = kSimdLanes<float>;
constexpr std::int64_t kPlaces = 16;  // of a transformed tile
constexpr std::int64_t kRows = 6;     // tiles whose sums are in registers, each for two vectors of outputs
constexpr std::int64_t kPanel = 2 * kLanes;
constexpr std::int64_t kTiles = 4 * kRows;  // worked on together: their transforms stay in the cache

std::int64_t filled(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

// y[r] [kPanel] = sum over i of x[r][i] * w[i] [kPanel]
template <int rows>
void multiply(std::int64_t inputs, const float* x, const float* w, float* y, std::int64_t y_row) {
  Simd<float> sums[rows][2];
#pragma GCC unroll 6
  for (int r = 0; r < rows; ++r) sums[r][0] = sums[r][1] = Simd<float>{};
  for (std::int64_t i = 0; i < inputs; ++i) {
    const Simd<float> w0 = simd_load(w + i * kPanel), w1 = simd_load(w + i * kPanel + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
      const Simd<float> value = simd_set(x[r * inputs + i]);
      sums[r][0] = simd_fma(value, w0, sums[r][0]);
      sums[r][1] = simd_fma(value, w1, sums[r][1]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < rows; ++r) {
    simd_store(y + r * y_row, sums[r][0]);
    simd_store(y + r * y_row + kLanes, sums[r][1]);
  }
}

void multiply(std::int64_t rows, std::int64_t inputs, const float* x, const float* w, float* y,
              std::int64_t y_row) {
  switch (rows) {
    case 1:
      return multiply<1>(inputs, x, w, y, y_row);
    case 2:
      return multiply<2>(inputs, x, w, y, y_row);
    case 3:
      return multiply<3>(inputs, x, w, y, y_row);
    case 4:
      return multiply<4>(inputs, x, w, y, y_row);
    case 5:
      return multiply<5>(inputs, x, w, y, y_row);
    default:
      return multiply<6>(inputs, x, w, y, y_row);
  }
}

}  // namespace

WinogradForward::WinogradForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block)
    : context_(context),
      shape_(shape),
      block_(block),
      inputs_(filled(shape.in_channels, block)),
      outputs_(filled(filled(shape.out_channels, block), kPanel)),
      tile_columns_((shape.out_width() + 1) / 2),
      tiles_((shape.out_height() + 1) / 2 * tile_columns_),
      weights_(context.memory(), sizeof(float) * kPlaces * inputs_ * outputs_, "convolution weights"),
      scratch_(context.memory(),
               sizeof(float) * context.threads().size() * kPlaces * kTiles * (inputs_ + outputs_),
               "convolution tiles") {
  std::fill_n(weights_.as<float>(), kPlaces * inputs_ * outputs_, 0.0f);
}

// G g G', G = {{1, 0, 0}, {1/2, 1/2, 1/2}, {1/2, -1/2, 1/2}, {0, 0, 1}}, as [16, O / kPanel, I, kPanel].
void WinogradForward::begin(const float* w) {
  for_ranges(context_.threads(), shape_.out_channels, range_items(shape_.in_channels * kPlaces * 4),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t o = begin; o < end; ++o) {
                 for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
                   const float* g = w + (o * shape_.in_channels + i) * 9;
                   float rows[4][3];
                   for (int k = 0; k < 3; ++k) {
                     const float even = g[k] + g[6 + k];
                     rows[0][k] = g[k];
                     rows[1][k] = 0.5f * (even + g[3 + k]);
                     rows[2][k] = 0.5f * (even - g[3 + k]);
                     rows[3][k] = g[6 + k];
                   }
                   float* to = weights_.as<float>() + (o / kPanel * inputs_ + i) * kPanel + o % kPanel;
                   const std::int64_t place = inputs_ * outputs_;
                   for (int r = 0; r < 4; ++r) {
                     const float even = rows[r][0] + rows[r][2];
                     to[(4 * r) * place] = rows[r][0];
                     to[(4 * r + 1) * place] = 0.5f * (even + rows[r][1]);
                     to[(4 * r + 2) * place] = 0.5f * (even - rows[r][1]);
                     to[(4 * r + 3) * place] = rows[r][2];
                   }
                 }
               }
             });
}

// B' d B, B' = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}}, as [16, kTiles, I].
void WinogradForward::transform_input(const float* x, std::int64_t tile, std::int64_t count,
                                      float* to) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width, pixels = height * width;
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t image = (tile + t) / tiles_, at = (tile + t) % tiles_;
    const std::int64_t h = at / tile_columns_ * 2 - shape_.padding,
                       w = at % tile_columns_ * 2 - shape_.padding;
    const bool inside = h >= 0 && w >= 0 && h + 4 <= height && w + 4 <= width;
    for (std::int64_t c = 0; c < inputs_; c += kLanes) {
      const float* from = x + image * inputs_ * pixels + c / block_ * block_ * pixels + c % block_;
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
          for (int k = 0; k < 4; ++k) {
            const bool there = h + r >= 0 && h + r < height && w + k >= 0 && w + k < width;
            d[r][k] = there ? simd_load(from + ((h + r) * width + w + k) * block_) : Simd<float>{};
          }
        }
      }
      Simd<float> e[4][4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        e[0][k] = d[0][k] - d[2][k];
        e[1][k] = d[1][k] + d[2][k];
        e[2][k] = d[2][k] - d[1][k];
        e[3][k] = d[1][k] - d[3][k];
      }
      float* place = to + t * inputs_ + c;
      const std::int64_t step = kTiles * inputs_;
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        simd_store(place + (4 * r) * step, e[r][0] - e[r][2]);
        simd_store(place + (4 * r + 1) * step, e[r][1] + e[r][2]);
        simd_store(place + (4 * r + 2) * step, e[r][2] - e[r][1]);
        simd_store(place + (4 * r + 3) * step, e[r][1] - e[r][3]);
      }
    }
  }
}

// A' m A, A' = {{1, 1, 1, 0}, {0, 1, -1, -1}}, from [16, kTiles, O].
void WinogradForward::transform_output(const float* from, std::int64_t tile, std::int64_t count,
                                       float* y) const {
  const std::int64_t height = shape_.out_height(), width = shape_.out_width(), pixels = height * width;
  const std::int64_t outputs = filled(shape_.out_channels, block_);
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t image = (tile + t) / tiles_, at = (tile + t) % tiles_;
    const std::int64_t h = at / tile_columns_ * 2, w = at % tile_columns_ * 2;
    const std::int64_t rows = std::min<std::int64_t>(2, height - h),
                       columns = std::min<std::int64_t>(2, width - w);
    for (std::int64_t c = 0; c < outputs; c += kLanes) {
      Simd<float> s[2][4];
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const float* m = from + k * kTiles * outputs_ + t * outputs_ + c;
        const std::int64_t row = 4 * kTiles * outputs_;
        const Simd<float> m1 = simd_load(m + row), m2 = simd_load(m + 2 * row);
        s[0][k] = (simd_load(m) + m1) + m2;
        s[1][k] = (m1 - m2) - simd_load(m + 3 * row);
      }
      float* to =
          y + image * outputs * pixels + c / block_ * block_ * pixels + c % block_ + (h * width + w) * block_;
      for (std::int64_t r = 0; r < rows; ++r) {
        simd_store(to + r * width * block_, (s[r][0] + s[r][1]) + s[r][2]);
        if (columns == 2) simd_store(to + (r * width + 1) * block_, (s[r][1] - s[r][2]) - s[r][3]);
      }
    }
  }
}

void WinogradForward::run(std::int64_t images, int worker, const float* x, float* y) const {
  float* transformed = scratch_.as<float>() + worker * kPlaces * kTiles * (inputs_ + outputs_);
  float* products = transformed + kPlaces * kTiles * inputs_;
  for (std::int64_t tile = 0; tile < images * tiles_; tile += kTiles) {
    const std::int64_t count = std::min(kTiles, images * tiles_ - tile);
    transform_input(x, tile, count, transformed);
    for (std::int64_t place = 0; place < kPlaces; ++place) {
      for (std::int64_t o = 0; o < outputs_; o += kPanel) {
        const float* w = weights_.as<float>() + (place * outputs_ + o) * inputs_;
        for (std::int64_t row = 0; row < count; row += kRows) {
          multiply(std::min(kRows, count - row), inputs_, transformed + (place * kTiles + row) * inputs_, w,
                   products + (place * kTiles + row) * outputs_ + o, outputs_);
        }
      }
    }
    transform_output(products, tile, count, y);
  }
}

}  // namespace qmse
