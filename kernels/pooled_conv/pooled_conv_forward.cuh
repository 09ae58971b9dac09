// The forward pass. Where the input has few channels a thread keeps the 4x4 places of each that a window's
// four outputs need, and goes through the block's output channels; where many: pooled_conv_winograd.cuh.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool_math.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_winograd.cuh"

namespace qmse::device {

// Stages [channels, height + 2, width + 2], the image with a border of zeros, of image `image`.
template <int channels>
__device__ __forceinline__ void stage_few_channels(const PooledConvShape& s, std::int64_t image,
                                                   const float* __restrict__ x, float* tile) {
  const int width = static_cast<int>(s.width), height = static_cast<int>(s.height);
  const int padded_width = width + 2, places = (height + 2) * padded_width;
  const float* from = x + image * channels * height * width;
  for (int p = static_cast<int>(threadIdx.x); p < places; p += static_cast<int>(blockDim.x)) {
    const int row = p / padded_width - 1, column = p % padded_width - 1;
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
#pragma unroll
    for (int c = 0; c < channels; ++c) {
      tile[c * places + p] = inside ? from[(c * height + row) * width + column] : 0.0f;
    }
  }
}

// A block: one image, kGroupChannels output channels.
template <int channels>
__global__ void __launch_bounds__(kElementThreads)
    pooled_conv_forward_kernel(PooledConvShape s, std::int64_t groups, const float* __restrict__ x,
                               const float* __restrict__ w, const float* __restrict__ bias,
                               float* __restrict__ y, std::uint8_t* __restrict__ choice) {
  constexpr int kTaps = 9 * channels;
  constexpr int kRow = (kTaps + 3) / 4 * 4;  // whole groups of four
  __shared__ SharedArray<Group<float, 4>, kGroupChannels * kRow / 4> weights;
  __shared__ SharedArray<float, kGroupChannels> biases;
  float* tile = dynamic_shared<float>();
  const Quotient at = divide(blockIdx.x, groups);  // image, group of output channels
  const std::int64_t first = at.remainder * kGroupChannels;
  const int group_size = static_cast<int>(min(s.out_channels - first, std::int64_t{kGroupChannels}));
  float* flat_weights = weights.data()->v;
  for (int e = static_cast<int>(threadIdx.x); e < group_size * kTaps; e += kElementThreads) {
    flat_weights[e / kTaps * kRow + e % kTaps] = w[first * kTaps + e];
  }
  if (static_cast<int>(threadIdx.x) < group_size) biases[threadIdx.x] = bias[first + threadIdx.x];
  stage_few_channels<channels>(s, at.quotient, x, tile);
  __syncthreads();

  const int out_width = static_cast<int>(s.out_width()),
            windows = static_cast<int>(s.out_height()) * out_width;
  const int padded_width = static_cast<int>(s.width) + 2;
  const int places = (static_cast<int>(s.height) + 2) * padded_width;
  for (int p = static_cast<int>(threadIdx.x); p < windows; p += kElementThreads) {
    const float* corner = tile + p / out_width * 2 * padded_width + p % out_width * 2;
    float patch[channels][4][4];
#pragma unroll
    for (int c = 0; c < channels; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) patch[c][i][j] = corner[c * places + i * padded_width + j];
      }
    }
    std::int64_t out = (at.quotient * s.out_channels + first) * windows + p;
    for (int o = 0; o < group_size; ++o, out += windows) {
      float taps[kRow];
#pragma unroll
      for (int k = 0; k < kRow / 4; ++k) {
        const Group<float, 4> four = weights[static_cast<unsigned>(o * (kRow / 4) + k)];
#pragma unroll
        for (int j = 0; j < 4; ++j) taps[4 * k + j] = four.v[j];
      }
      const float shift = biases[static_cast<unsigned>(o)];
      ReluPoolWindow<float> window;
#pragma unroll
      for (int place = 0; place < 4; ++place) {
        float sum = 0;
#pragma unroll
        for (int c = 0; c < channels; ++c) {
#pragma unroll
          for (int k = 0; k < 9; ++k) {
            sum = __fmaf_rn(patch[c][place / 2 + k / 3][place % 2 + k % 3], taps[9 * c + k], sum);
          }
        }
        window.visit(sum + shift, place);
      }
      y[out] = window.best;
      choice[out] = static_cast<std::uint8_t>(window.choice);
    }
  }
}

template <int channels, class Gpu>
void launch_pooled_conv_forward_of(Gpu& gpu, const PooledConvShape& s, const float* x, const float* w,
                                   const float* bias, float* y, std::uint8_t* choice) {
  const std::int64_t groups = pooled_ceil(s.out_channels, kGroupChannels);
  const LaunchShape blocks{grid_blocks(s.batch * groups, 1), kElementThreads,
                           static_cast<std::size_t>(few_tile_floats(s)) * sizeof(float)};
  gpu.launch(QMSE_KERNEL(pooled_conv_forward_kernel<channels>), blocks, s, groups, x, w, bias, y, choice);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void pooled_conv_forward(Gpu& gpu, const PooledConvShape& s, const float* x, const float* w,
                         const float* bias, float* y, std::uint8_t* choice, float* transformed) {
  using namespace device;
  switch (s.in_channels) {
    case 1:
      return launch_pooled_conv_forward_of<1>(gpu, s, x, w, bias, y, choice);
    case 2:
      return launch_pooled_conv_forward_of<2>(gpu, s, x, w, bias, y, choice);
    case 3:
      return launch_pooled_conv_forward_of<3>(gpu, s, x, w, bias, y, choice);
    case 4:
      return launch_pooled_conv_forward_of<4>(gpu, s, x, w, bias, y, choice);
    default:
      return launch_pooled_conv_winograd(gpu, s, x, w, bias, y, choice, transformed);
  }
}

}  // namespace qmse
