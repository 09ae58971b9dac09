#include "kernels/conv2d/winograd_forward.h"

#include <algorithm>

#include "kernels/conv2d/winograd_math.h"
#include "kernels/cpu/ranges.h"
#include "kernels/cpu/simd.h"

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
               "convolution tiles") {}

// G g G' as [16, O / panel, I, panel or what is left]; what outputs do not fill is zero.
void WinogradForward::begin(const float* w) {
  constexpr std::int64_t kLanes = kSimdLanes<float>;
  const std::int64_t in = shape_.in_channels, place = in * outputs_;
  // Cut by input channels: the outputs of one are next to each other, and two threads that write in one line of
  // the cache take it from each other with every vector.
  const auto transform = [&](std::int64_t i) {
    for (std::int64_t o = 0; o < outputs_; o += kLanes) {
      float g[9 * kLanes] = {};  // [9, outputs]
      simd_transpose(std::clamp<std::int64_t>(shape_.out_channels - o, 0, kLanes), 9, w + (o * in + i) * 9,
                     in * 9, g, kLanes);
      Simd<float> columns[3][4];
      for (int k = 0; k < 3; ++k) {
        winograd_weights(simd_load(g + k * kLanes), simd_load(g + (3 + k) * kLanes),
                         simd_load(g + (6 + k) * kLanes), columns[k]);
      }
      const std::int64_t panel = o / vector_.panel() * vector_.panel();
      float* to =
          weights_.as<float>() + panel * in + i * std::min(vector_.panel(), outputs_ - panel) + o - panel;
      for (int r = 0; r < 4; ++r) {
        Simd<float> row[4];
        winograd_weights(columns[0][r], columns[1][r], columns[2][r], row);
        for (int k = 0; k < 4; ++k) simd_store(to + (4 * r + k) * place, row[k]);
      }
    }
  };
  for_ranges(context_.threads(), in, range_items(outputs_ * kTilePlaces * 4),
             [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t i = begin; i < end; ++i) transform(i);
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
