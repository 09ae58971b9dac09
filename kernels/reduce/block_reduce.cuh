// Sums and maxima over a warp and over a block, in a tree fixed by their sizes. Every thread gets the result.
#pragma once

#include "kernels/gpu/cuda_names.h"

namespace qmse {

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kMaxWarps = 32;  // of a block

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Largest {  // NaN loses against every number
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

struct Smallest {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// Called by whole warps.
template <class T, class Fold>
__device__ __forceinline__ T warp_reduce(T value, Fold fold) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fold(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
  }
  return value;
}

// Called by every thread of a one-dimensional block of whole warps. `scratch` may be used again right away.
template <class T, class Fold>
__device__ __forceinline__ T block_reduce(T value, Fold fold, SharedArray<T, kMaxWarps>& scratch) {
  value = warp_reduce(value, fold);
  __syncthreads();  // an earlier reduction's results have been read
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = value;
  __syncthreads();
  T result = scratch[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarpSize; ++warp) result = fold(result, scratch[warp]);
  return result;
}

}  // namespace qmse
