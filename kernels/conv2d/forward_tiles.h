// Where the forward pass of a convolution leaves its output tiles of 2x2 pixels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bias_relu_max_pool/relu_pool_simd.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/cpu/simd.h"

namespace qmse {

// As they are, in y [images, channels / block, pixels, block]; or, where there is a bias, through bias, ReLU
// and a max-pool whose 2x2 windows are the tiles: y has a pixel for each whole window then.
struct ForwardOutput {
  float* y = nullptr;
  const float* bias = nullptr;  // of whole blocks of channels
  std::uint8_t* choice =
      nullptr;  // [images, channels / kSimdLanes, windows, kSimdLanes]: bias_relu_max_pool.h
};

// The tiles of a convolution's images, numbered row by row, and where eight channels of one are stored.
class ForwardTiles {
 public:
  // `block` is a power of two.
  ForwardTiles(const Conv2dShape& shape, std::int64_t block)
      : block_(block),
        channels_((shape.out_channels + block - 1) / block * block),
        height_(shape.out_height()),
        width_(shape.out_width()),
        rows_((height_ + 1) / 2),
        columns_((width_ + 1) / 2),
        pixels_(height_ * width_),
        windows_(height_ / 2 * (width_ / 2)) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }

  struct Place {
    std::int64_t image, row, column;
  };
  Place place(std::int64_t tile) const {
    const std::int64_t at = tile % (rows_ * columns_);
    return {tile / (rows_ * columns_), at / columns_, at % columns_};
  }
  void next(Place& at) const {
    if (++at.column < columns_) return;
    at.column = 0;
    if (++at.row < rows_) return;
    at.row = 0;
    ++at.image;
  }

  // tile[2 * h + w] of channels c.. .
  template <bool pooled>
  void store(const ForwardOutput& to, const Place& at, std::int64_t c, const Simd<float> (&tile)[4]) const {
    const std::int64_t in_block = c & (block_ - 1);
    if constexpr (pooled) {
      if (2 * at.row + 1 >= height_ || 2 * at.column + 1 >= width_) return;
      const Simd<float> bias = simd_load(to.bias + c);
      SimdReluPoolWindow window;
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) window.visit(tile[k] + bias, k);
      const std::int64_t image = at.image * channels_, w = at.row * (width_ / 2) + at.column;
      simd_store(to.y + (image + c - in_block) * windows_ + w * block_ + in_block, window.best);
      simd_store_bytes(to.choice + (image + c) * windows_ + w * kSimdLanes<float>, window.choice);
    } else {
      float* y = to.y + (at.image * channels_ + c - in_block) * pixels_ +
                 2 * (at.row * width_ + at.column) * block_ + in_block;
      const bool right = 2 * at.column + 1 < width_;
      simd_store(y, tile[0]);
      if (right) simd_store(y + block_, tile[1]);
      if (2 * at.row + 1 >= height_) return;
      simd_store(y + width_ * block_, tile[2]);
      if (right) simd_store(y + (width_ + 1) * block_, tile[3]);
    }
  }

 private:
  std::int64_t block_, channels_, height_, width_, rows_, columns_, pixels_, windows_;
};

}  // namespace qmse
