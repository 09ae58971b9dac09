#include "kernels/conv2d/direct_forward.h"

#include <algorithm>

#include "kernels/cpu/simd.h"

namespace qmse {

namespace {

constexpr std::int64_t kLanes = kSimdLanes<float>;
constexpr std::int64_t kPanel = 2 * kLanes;  // outputs worked on together; the last ones may be one vector

// sums[2 * h + w][v] = sum over taps and inputs for the tile whose 4x4 inputs begin at x.
template <int vectors>
inline void sum_tile(std::int64_t inputs, const float* x, std::int64_t row, std::int64_t plane,
                     const float* w, Simd<float> (&sums)[4][vectors]) {
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    for (int v = 0; v < vectors; ++v) sums[k][v] = Simd<float>{};
  }
#pragma GCC unroll 3
  for (int kh = 0; kh < 3; ++kh) {
#pragma GCC unroll 3
    for (int kw = 0; kw < 3; ++kw) {
      const float* from = x + kh * row + kw;
      for (std::int64_t i = 0; i < inputs; ++i, from += plane, w += vectors * kLanes) {
        const Simd<float> pixels[4] = {simd_set(from[0]), simd_set(from[1]), simd_set(from[row]),
                                       simd_set(from[row + 1])};
        for (int v = 0; v < vectors; ++v) {
          const Simd<float> weight = simd_load(w + v * kLanes);
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
  for (std::int64_t h = 0; h < tiles.rows(); ++h) {
    for (std::int64_t k = 0; k < tiles.columns(); ++k) {
      Simd<float> sums[4][vectors];
      sum_tile<vectors>(inputs, x + 2 * (h * row + k), row, plane, w, sums);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        tiles.store<pooled>(to, {image, h, k}, c + v * kLanes,
                            {sums[0][v], sums[1][v], sums[2][v], sums[3][v]});
    }
  }
}

}  // namespace

DirectForward::DirectForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block)
    : shape_(shape),
      outputs_((shape.out_channels + kLanes - 1) / kLanes * kLanes),
      output_tiles_(shape, block),
      rows_(2 * output_tiles_.rows() + 2),
      columns_(2 * output_tiles_.columns() + 2),
      weights_(context.memory(), sizeof(float) * 9 * shape.in_channels * outputs_, "convolution weights"),
      padded_(context.memory(),
              sizeof(float) * context.threads().size() * shape.in_channels * rows_ * columns_,
              "convolution images") {
  std::fill_n(weights_.as<float>(), 9 * shape.in_channels * outputs_, 0.0f);
  std::fill_n(padded_.as<float>(), context.threads().size() * shape.in_channels * rows_ * columns_, 0.0f);
}

// As [O / kPanel, 9, I, kPanel or what is left].
void DirectForward::begin(const float* w) {
  for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
    const std::int64_t panel = o / kPanel * kPanel, width = std::min(kPanel, outputs_ - panel);
    float* to = weights_.as<float>() + panel * 9 * shape_.in_channels + o - panel;
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      for (std::int64_t tap = 0; tap < 9; ++tap, ++w) to[(tap * shape_.in_channels + i) * width] = *w;
    }
  }
}

void DirectForward::run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width;
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      float* plane = padded(worker) + (i * rows_ + shape_.padding) * columns_ + shape_.padding;
      for (std::int64_t h = 0; h < height; ++h, x += width) std::copy_n(x, width, plane + h * columns_);
    }
    if (to.bias != nullptr) {
      run_image<true>(image, padded(worker), to);
    } else {
      run_image<false>(image, padded(worker), to);
    }
  }
}

template <bool pooled>
void DirectForward::run_image(std::int64_t image, const float* padded, const ForwardOutput& to) const {
  const std::int64_t inputs = shape_.in_channels, plane = rows_ * columns_;
  for (std::int64_t c = 0; c < outputs_; c += kPanel) {
    const float* w = weights_.as<float>() + c * 9 * inputs;
    if (c + kPanel <= outputs_) {
      run_panel<pooled, 2>(output_tiles_, to, image, inputs, padded, columns_, plane, w, c);
    } else {
      run_panel<pooled, 1>(output_tiles_, to, image, inputs, padded, columns_, plane, w, c);
    }
  }
}

}  // namespace qmse
