// What a warp or a block holds, folded to one value in a tree that its size alone decides. Every thread gets
// the result. A value is a number, or a plain struct of whole words.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/gpu/cuda_names.h"

namespace qmse::device {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kMaxWarps = 32;  // of a block
inline constexpr unsigned kFullWarp = 0xFFFFFFFFu;

// Folds. They commute to the last bit.
struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Smallest {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

struct Merge {
  template <class T>
  __device__ T operator()(T a, const T& b) const {
    a.merge(b);
    return a;
  }
};

template <class T>
struct Words {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0, "values are moved as words");
  std::uint32_t word[sizeof(T) / 4];
};

// The value as shared memory, which is not initialised, can hold it.
template <class T>
using InShared = std::conditional_t<std::is_trivial_v<T>, T, Words<T>>;

template <class T>
__device__ __forceinline__ InShared<T> to_shared(const T& value) {
  InShared<T> there;
  memcpy(&there, &value, sizeof(value));
  return there;
}
template <class T>
__device__ __forceinline__ T from_shared(const InShared<T>& there) {
  T value;
  memcpy(static_cast<void*>(&value), &there, sizeof(value));
  return value;
}

// What the lane at this distance holds.
template <class T>
__device__ __forceinline__ T shuffle_xor(const T& value, int distance) {
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_xor_sync(kFullWarp, value, distance);
  } else {
    Words<T> words;
    memcpy(&words, &value, sizeof(value));
#pragma unroll
    for (std::uint32_t& word : words.word) word = __shfl_xor_sync(kFullWarp, word, distance);
    T other;
    memcpy(static_cast<void*>(&other), &words, sizeof(other));
    return other;
  }
}

// The fold of what each `lanes` neighbouring lanes hold; `lanes` is a power of two. Called by whole warps.
template <class T, class Fold>
__device__ __forceinline__ T warp_reduce(T value, Fold fold, int lanes = kWarpSize) {
#pragma unroll
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    if (distance < lanes) value = fold(value, shuffle_xor(value, distance));
  }
  return value;
}

// T() must be the value of nothing. Called by every thread of a one-dimensional block of whole warps.
// `scratch`, a value for each warp, may be used again right away.
template <class T, class Fold, unsigned kSize>
__device__ __forceinline__ T block_reduce(T value, Fold fold, SharedArray<InShared<T>, kSize>& scratch) {
  const unsigned warps = blockDim.x / kWarpSize;
  value = warp_reduce(value, fold);
  if (warps == 1) return value;
  __syncthreads();  // an earlier reduction's results have been read
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = to_shared(value);
  __syncthreads();
  unsigned lanes = 2;
  while (lanes < warps) lanes *= 2;
  const unsigned warp = threadIdx.x & (lanes - 1);
  return warp_reduce(warp < warps ? from_shared<T>(scratch[warp]) : T(), fold, static_cast<int>(lanes));
}

}  // namespace qmse::device
