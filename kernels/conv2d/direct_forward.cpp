#include "kernels/conv2d/direct_forward.h"

#include <algorithm>

namespace qmse {

DirectForward::DirectForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block)
    : shape_(shape),
      output_tiles_(shape, block),
      vector_(block_vector(context.instruction_set(), block)),
      run_(QMSE_FOR_ISA(vector_.set, direct_forward)),
      outputs_((shape.out_channels + vector_.lanes - 1) / vector_.lanes * vector_.lanes),
      rows_(2 * output_tiles_.rows + 2),
      columns_(2 * output_tiles_.columns + 2),
      weights_(context.memory(), sizeof(float) * 9 * shape.in_channels * outputs_, "convolution weights"),
      padded_(context.memory(),
              sizeof(float) * context.threads().size() * shape.in_channels * rows_ * columns_,
              "convolution images") {
  std::fill_n(weights_.as<float>(), 9 * shape.in_channels * outputs_, 0.0f);
  std::fill_n(padded_.as<float>(), context.threads().size() * shape.in_channels * rows_ * columns_, 0.0f);
}

// As [O / panel, 9, I, panel or what is left].
void DirectForward::begin(const float* w) {
  for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
    const std::int64_t panel = o / vector_.panel() * vector_.panel(),
                       width = std::min(vector_.panel(), outputs_ - panel);
    float* to = weights_.as<float>() + panel * 9 * shape_.in_channels + o - panel;
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      for (std::int64_t tap = 0; tap < 9; ++tap, ++w) to[(tap * shape_.in_channels + i) * width] = *w;
    }
  }
}

void DirectForward::run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const {
  const std::int64_t height = shape_.in_height, width = shape_.in_width;
  float* padded = padded_.as<float>() + worker * shape_.in_channels * rows_ * columns_;
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::int64_t i = 0; i < shape_.in_channels; ++i) {
      float* plane = padded + (i * rows_ + shape_.padding) * columns_ + shape_.padding;
      for (std::int64_t h = 0; h < height; ++h, x += width) std::copy_n(x, width, plane + h * columns_);
    }
    run_({.tiles = output_tiles_,
          .image = image,
          .inputs = shape_.in_channels,
          .filled_outputs = outputs_,
          .rows = rows_,
          .columns = columns_,
          .x = padded,
          .weights = weights_.as<float>(),
          .to = to});
  }
}

}  // namespace qmse
