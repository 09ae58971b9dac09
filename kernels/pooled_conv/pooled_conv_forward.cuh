// The forward pass. Where the input has few channels, a thread keeps the 4x4 places of each channel that a
// window's four outputs need, and goes through the block's output channels.
#pragma once

#include <cstdint>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool_math.h"
#include "kernels/core/elements.cuh"
#include "kernels/core/launch.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"

namespace qmse {

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

template <int channels, class Launcher>
void launch_pooled_conv_forward_of(Launcher& launcher, const PooledConvShape& s, const float* x,
                                   const float* w, const float* bias, float* y, std::uint8_t* choice) {
  const std::int64_t groups = pooled_ceil(s.out_channels, kGroupChannels);
  const LaunchShape blocks{grid_blocks(s.batch * groups, 1), kElementThreads,
                           static_cast<std::size_t>(few_tile_floats(s)) * sizeof(float)};
  launcher.launch(QMSE_KERNEL(pooled_conv_forward_kernel<channels>), blocks, s, groups, x, w, bias, y,
                  choice);
}

inline constexpr unsigned kManyThreads = kMostManyWindows * kManyOutputs / 4;

// Many input channels: a block has one image and kManyOutputs output channels; a thread has one window and
// `outputs` of those channels, 512 / (kManyOutputs / outputs) windows at most. Input channels are staged
// kStagedChannels at a time.
template <int outputs, unsigned threads>
__global__ void __launch_bounds__(threads)
    pooled_conv_many_forward_kernel(PooledConvShape s, std::int64_t groups, const float* __restrict__ x,
                                    const float* __restrict__ w, const float* __restrict__ bias,
                                    float* __restrict__ y, std::uint8_t* __restrict__ choice) {
  constexpr int kTapGroups = 3;  // of four: nine taps and three places that are not read
  constexpr int kShares = static_cast<int>(kManyOutputs) / outputs;
  Group<float, 4>* taps = dynamic_shared<Group<float, 4>>();  // [staged, kManyOutputs, kTapGroups]
  float* tile = reinterpret_cast<float*>(taps + kStagedChannels * kManyOutputs * kTapGroups);
  const int thread = static_cast<int>(threadIdx.x);
  const int width = static_cast<int>(s.width), height = static_cast<int>(s.height), plane = width * height;
  const int padded_width = many_tile_width(s), places = (height + 2) * padded_width;
  const int out_width = static_cast<int>(s.out_width()),
            windows = out_width * static_cast<int>(s.out_height());
  const Quotient at = divide(blockIdx.x, groups);  // image, group of output channels
  const std::int64_t first = at.remainder * kManyOutputs;
  const int group_size = static_cast<int>(min(s.out_channels - first, std::int64_t{kManyOutputs}));
  const int window = thread % windows, share = thread / windows;
  const bool works = share < kShares;
  const int corner = window / out_width * 2 * padded_width + window % out_width * 2;

  float sums[outputs][4] = {};
  for (std::int64_t first_in = 0; first_in < s.in_channels; first_in += kStagedChannels) {
    const int staged = static_cast<int>(min(std::int64_t{kStagedChannels}, s.in_channels - first_in));
    const float* image = x + (at.quotient * s.in_channels + first_in) * plane;
    __syncthreads();  // the channels before have been read
    for (int e = thread; e < staged * places; e += static_cast<int>(threads)) {
      const int channel = e / places, p = e % places, row = p / padded_width - 1,
                column = p % padded_width - 1;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      tile[e] = inside ? image[channel * plane + row * width + column] : 0.0f;
    }
    float* flat_taps = reinterpret_cast<float*>(taps);
    for (int e = thread; e < group_size * staged * 9; e += static_cast<int>(threads)) {
      const int o = e / (staged * 9), rest = e % (staged * 9);
      flat_taps[((rest / 9 * static_cast<int>(kManyOutputs) + o) * kTapGroups) * 4 + rest % 9] =
          w[((first + o) * s.in_channels + first_in) * 9 + rest];
    }
    __syncthreads();
    if (!works) continue;
    for (int c = 0; c < staged; ++c) {
      float patch[4][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const Group<float, 2> two = load_aligned<2>(tile + c * places + corner + i * padded_width + 2 * j);
          patch[i][2 * j] = two.v[0];
          patch[i][2 * j + 1] = two.v[1];
        }
      }
      const Group<float, 4>* channel_taps =
          taps + (c * static_cast<int>(kManyOutputs) + share * outputs) * kTapGroups;
#pragma unroll
      for (int o = 0; o < outputs; ++o) {
        float tap[4 * kTapGroups];
#pragma unroll
        for (int k = 0; k < kTapGroups; ++k) {
          const Group<float, 4> four = channel_taps[o * kTapGroups + k];
#pragma unroll
          for (int j = 0; j < 4; ++j) tap[4 * k + j] = four.v[j];
        }
#pragma unroll
        for (int place = 0; place < 4; ++place) {
#pragma unroll
          for (int k = 0; k < 9; ++k) {
            sums[o][place] = __fmaf_rn(patch[place / 2 + k / 3][place % 2 + k % 3], tap[k], sums[o][place]);
          }
        }
      }
    }
  }
  if (!works) return;
#pragma unroll
  for (int o = 0; o < outputs; ++o) {
    const int channel = share * outputs + o;
    if (channel >= group_size) continue;
    ReluPoolWindow<float> best;
#pragma unroll
    for (int place = 0; place < 4; ++place) best.visit(sums[o][place] + bias[first + channel], place);
    const std::int64_t out = (at.quotient * s.out_channels + first + channel) * windows + window;
    y[out] = best.best;
    choice[out] = static_cast<std::uint8_t>(best.choice);
  }
}

template <int outputs, unsigned threads, class Launcher>
void launch_pooled_conv_many_forward(Launcher& launcher, const PooledConvShape& s, const float* x,
                                     const float* w, const float* bias, float* y, std::uint8_t* choice) {
  const std::int64_t groups = pooled_ceil(s.out_channels, kManyOutputs);
  launcher.launch(
      QMSE_KERNEL(pooled_conv_many_forward_kernel<outputs, threads>),
      LaunchShape{grid_blocks(s.batch * groups, 1), threads, static_cast<std::size_t>(many_forward_bytes(s))},
      s, groups, x, w, bias, y, choice);
}

template <class Launcher>
void launch_pooled_conv_forward(Launcher& launcher, const PooledConvShape& s, const float* x, const float* w,
                                const float* bias, float* y, std::uint8_t* choice) {
  switch (s.in_channels) {
    case 1:
      return launch_pooled_conv_forward_of<1>(launcher, s, x, w, bias, y, choice);
    case 2:
      return launch_pooled_conv_forward_of<2>(launcher, s, x, w, bias, y, choice);
    case 3:
      return launch_pooled_conv_forward_of<3>(launcher, s, x, w, bias, y, choice);
    case 4:
      return launch_pooled_conv_forward_of<4>(launcher, s, x, w, bias, y, choice);
    default: {
      // Few blocks want more threads each.
      if (s.batch * pooled_ceil(s.out_channels, kManyOutputs) < 512) {
        launch_pooled_conv_many_forward<4, kManyThreads>(launcher, s, x, w, bias, y, choice);
      } else {
        launch_pooled_conv_many_forward<8, kManyThreads / 2>(launcher, s, x, w, bias, y, choice);
      }
    }
  }
}

}  // namespace qmse
