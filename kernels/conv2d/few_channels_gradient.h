// The weight gradient of a convolution over images with very few channels (the first layer's), where oneDNN
// has no fast kernel below AVX-512.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/core/simd.h"

namespace qmse {

// Sums over one image at a time. The gradient lies as [out_channels / 8][in_channels * kh * kw][8].
class FewChannelsGradient {
 public:
  explicit FewChannelsGradient(const Conv2dShape& shape)
      : shape_(shape),
        padded_width_(shape.in_width + 2 * shape.padding),
        padded_rows_(shape.in_height + 2 * shape.padding) {
    for (std::int64_t i = 0; i < shape.in_channels; ++i) {
      for (std::int64_t h = 0; h < shape.kernel_height; ++h) {
        for (std::int64_t w = 0; w < shape.kernel_width; ++w)
          offsets_.push_back((i * padded_rows_ + h) * padded_width_ + w);
      }
    }
  }

  std::int64_t taps() const { return static_cast<std::int64_t>(offsets_.size()); }
  std::int64_t scratch_elements() const { return shape_.in_channels * padded_rows_ * padded_width_; }

  // scratch = x [I, H, W] with its padding.
  void pad(const float* x, float* scratch) const {
    std::fill_n(scratch, scratch_elements(), 0.0f);
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      for (std::int64_t h = 0; h < shape_.in_height; ++h) {
        std::copy_n(x + (i * shape_.in_height + h) * shape_.in_width, shape_.in_width,
                    scratch + (i * padded_rows_ + h + shape_.padding) * padded_width_ + shape_.padding);
      }
    }
  }

  // dw [taps, 8] += the gradient of eight output channels, whose dy lie side by side, `pixel_stride` floats
  // from pixel to pixel.
  void add(const float* padded, const float* dy, std::int64_t pixel_stride, float* dw) const {
    for (std::int64_t tap = 0; tap < taps(); tap += kTaps) {
      const std::int64_t* offsets = offsets_.data() + tap;
      float* to = dw + tap * 8;
      switch (std::min(kTaps, taps() - tap)) {
#define QMSE_TAPS(n)                                    \
  case n:                                               \
    add_taps<n>(padded, offsets, dy, pixel_stride, to); \
    break
        QMSE_TAPS(1);
        QMSE_TAPS(2);
        QMSE_TAPS(3);
        QMSE_TAPS(4);
        QMSE_TAPS(5);
        QMSE_TAPS(6);
        QMSE_TAPS(7);
        QMSE_TAPS(8);
        QMSE_TAPS(9);
#undef QMSE_TAPS
      }
    }
  }

 private:
  static constexpr std::int64_t kTaps =
      9;  // sums held in registers: enough to hide the latency of an addition

  template <int taps>
  void add_taps(const float* padded, const std::int64_t* offsets, const float* dy, std::int64_t pixel_stride,
                float* dw) const {
    Simd<float> sums[taps];
    for (int t = 0; t < taps; ++t) sums[t] = simd_load(dw + 8 * t);
    for (std::int64_t oh = 0; oh < shape_.out_height(); ++oh) {
      const float* rows[taps];
      for (int t = 0; t < taps; ++t) rows[t] = padded + oh * shape_.stride * padded_width_ + offsets[t];
      const float* dy_row = dy + oh * shape_.out_width() * pixel_stride;
      for (std::int64_t ow = 0; ow < shape_.out_width(); ++ow) {
        const Simd<float> gradient = simd_load(dy_row + ow * pixel_stride);
#pragma GCC unroll 9
        for (int t = 0; t < taps; ++t)
          sums[t] = simd_fma(simd_set(rows[t][ow * shape_.stride]), gradient, sums[t]);
      }
    }
    for (int t = 0; t < taps; ++t) simd_store(dw + 8 * t, sums[t]);
  }

  Conv2dShape shape_;
  std::int64_t padded_width_, padded_rows_;
  std::vector<std::int64_t> offsets_;  // of each tap in the padded image
};

}  // namespace qmse
