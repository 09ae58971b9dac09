#include "kernels/conv2d/winograd_forward.h"

#include <algorithm>

#include "kernels/conv2d/winograd_math.h"
#include "kernels/cpu/ranges.h"

namespace qmse {

namespace {

std::int64_t filled(std::int64_t n, std::int64_t size) { return (n + size - 1) / size * size; }

}  // namespace

WinogradForward::WinogradForward(CpuContext& context, const Conv2dShape& shape, std::int64_t block)
    : context_(context),
      shape_(shape),
      output_tiles_(shape, block),
      vector_(block_vector(context.instruction_set(), block)),
      run_(QMSE_FOR_ISA(vector_.set, winograd_forward)),
      inputs_(filled(shape.in_channels, vector_.lanes)),
      outputs_(filled(shape.out_channels, vector_.lanes)),
      weights_(context.memory(), sizeof(float) * kTilePlaces * shape.in_channels * outputs_,
               "convolution weights"),
      scratch_(context.memory(),
               sizeof(float) * context.threads().size() * kTilePlaces * kTilesTogether * (inputs_ + outputs_),
               "convolution tiles") {
  std::fill_n(weights_.as<float>(), kTilePlaces * shape.in_channels * outputs_, 0.0f);
}

// G g G' as [16, O / panel, I, panel or what is left].
void WinogradForward::begin(const float* w) {
  // Cut by input channels: the outputs of one are next to each other, and two threads that write in one line of
  // the cache take it from each other with every number.
  for_ranges(context_.threads(), shape_.in_channels, range_items(shape_.out_channels * kTilePlaces * 4),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t i = begin; i < end; ++i) {
                 for (std::int64_t o = 0; o < shape_.out_channels; ++o) {
                   const float* g = w + (o * shape_.in_channels + i) * 9;
                   float columns[3][4];
                   for (int k = 0; k < 3; ++k) winograd_weights(g[k], g[3 + k], g[6 + k], columns[k]);
                   const std::int64_t panel = o / vector_.panel() * vector_.panel();
                   float* to = weights_.as<float>() + panel * shape_.in_channels +
                               i * std::min(vector_.panel(), outputs_ - panel) + o - panel;
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

void WinogradForward::run(std::int64_t images, int worker, const float* x, const ForwardOutput& to) const {
  run_({.tiles = output_tiles_,
        .images = images,
        .height = shape_.in_height,
        .width = shape_.in_width,
        .padding = shape_.padding,
        .channels = filled(shape_.in_channels, output_tiles_.block),
        .inputs = shape_.in_channels,
        .filled_inputs = inputs_,
        .filled_outputs = outputs_,
        .x = x,
        .weights = weights_.as<float>(),
        .transformed = scratch_.as<float>() + worker * kTilePlaces * kTilesTogether * (inputs_ + outputs_),
        .to = to});
}

}  // namespace qmse
