// Gather and normalise on the GPU: one block for each image of the batch, four pixels a thread at a time.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gather_normalize/gather_normalize.h"
#include "kernels/gather_normalize/gather_normalize_math.h"
#include "kernels/gpu/elements.cuh"

namespace qmse::device {

inline constexpr unsigned kGatherThreads = 256;

__global__ void __launch_bounds__(kGatherThreads)
    gather_normalize_kernel(GatherArgs<float> args, bool aligned) {
  const std::int64_t item = blockIdx.x;
  const std::uint32_t sample = args.order[*args.first + blockIdx.x];
  if (threadIdx.x == 0) {
    args.sample_ids[item] = sample;
    args.batch_labels[item] = args.labels[sample];
  }
  const std::int64_t image_size = args.channels * args.inner;
  const std::uint8_t* image = args.images + sample * image_size;
  float* x = args.x + item * image_size;
  for (std::int64_t i = 4 * static_cast<std::int64_t>(threadIdx.x); i < image_size; i += 4 * kGatherThreads) {
    const Group<std::uint8_t, 4> pixels = load_group<4>(image, i, image_size, aligned);
    ChannelWalk walk(i, args.channels, args.inner);
    Group<float, 4> normalized;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::int64_t channel = walk.channel();
      normalized.v[k] = normalize_pixel(pixels.v[k], args.scale[channel], args.shift[channel]);
      walk.advance();
    }
    store_group(x, i, image_size, aligned, normalized);
  }
}

// A block for each row.
__global__ void __launch_bounds__(kGatherThreads) gather_rows_kernel(GatherArgs<float> args) {
  const std::int64_t item = blockIdx.x;
  const std::uint32_t sample = args.order[*args.first + blockIdx.x];
  if (threadIdx.x == 0) args.sample_ids[item] = sample;
  for (std::int64_t i = threadIdx.x; i < args.channels; i += kGatherThreads)
    args.x[item * args.channels + i] = args.columns[sample * args.channels + i];
  for (std::int64_t i = threadIdx.x; i < args.target_count; i += kGatherThreads)
    args.batch_targets[item * args.target_count + i] = args.targets[sample * args.target_count + i];
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void gather_normalize(Gpu& gpu, const GatherArgs<float>& args) {
  using namespace device;
  if (args.batch == 0) return;
  if (args.columns != nullptr) {
    gpu.launch(QMSE_KERNEL(gather_rows_kernel), LaunchShape{grid_blocks(args.batch, 1), kGatherThreads},
               args);
    return;
  }
  const bool aligned =
      args.channels * args.inner % 4 == 0 && aligned_for<4>(args.images) && aligned_for<4>(args.x);
  gpu.launch(QMSE_KERNEL(gather_normalize_kernel), LaunchShape{grid_blocks(args.batch, 1), kGatherThreads},
             args, aligned);
}

}  // namespace qmse
