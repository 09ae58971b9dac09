// How kernels reach consecutive elements: several in one access where the address allows it.
#pragma once

#include <cstdint>

#include "base/group.h"
#include "kernels/gpu/cuda_names.h"

namespace qmse::device {

// Threads of a block where each thread is on its own.
inline constexpr unsigned kElementThreads = 256;

// Whether each of these addresses may hold a Group of n. Null may.
template <int n, class... T>
bool aligned_for(const T*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % sizeof(Group<T, n>) == 0) && ...);
}

template <int n, class T>
__device__ __forceinline__ Group<T, n> load_aligned(const T* x) {
  return *reinterpret_cast<const Group<T, n>*>(x);
}

template <class T, int n>
__device__ __forceinline__ void store_aligned(T* x, const Group<T, n>& group) {
  *reinterpret_cast<Group<T, n>*>(x) = group;
}

// x[i], ..., x[i + n - 1], with zeros for those at `end` and beyond. `aligned`: aligned_for<n>(x + i) holds.
template <int n, class T>
__device__ __forceinline__ Group<T, n> load_group(const T* x, std::int64_t i, std::int64_t end,
                                                  bool aligned) {
  if (aligned && i + n <= end) return load_aligned<n>(x + i);
  Group<T, n> group;
#pragma unroll
  for (int k = 0; k < n; ++k) group.v[k] = i + k < end ? x[i + k] : T(0);
  return group;
}

template <class T, int n>
__device__ __forceinline__ void store_group(T* x, std::int64_t i, std::int64_t end, bool aligned,
                                            const Group<T, n>& group) {
  if (aligned && i + n <= end) {
    store_aligned(x + i, group);
    return;
  }
#pragma unroll
  for (int k = 0; k < n; ++k) {
    if (i + k < end) x[i + k] = group.v[k];
  }
}

// The thread's place in a one-dimensional grid.
__device__ __forceinline__ std::int64_t grid_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

struct Quotient {
  std::int64_t quotient;
  std::int64_t remainder;
};

// For n >= 0 and d >= 1; in 32 bits, several times faster on a GPU, where they hold both.
__device__ __forceinline__ Quotient divide(std::int64_t n, std::int64_t d) {
  if (((static_cast<std::uint64_t>(n) | static_cast<std::uint64_t>(d)) >> 32) == 0) {
    const std::uint32_t quotient = static_cast<std::uint32_t>(n) / static_cast<std::uint32_t>(d);
    return {quotient, static_cast<std::uint32_t>(n) - quotient * static_cast<std::uint32_t>(d)};
  }
  const std::int64_t quotient = n / d;
  return {quotient, n - quotient * d};
}

// The channel of element i of a [N, channels, inner] tensor, and of those after it.
class ChannelWalk {
 public:
  __device__ ChannelWalk(std::int64_t i, std::int64_t channels, std::int64_t inner)
      : channels_(channels), inner_(inner) {
    const Quotient plane = divide(i, inner);
    left_ = inner - plane.remainder;
    channel_ = divide(plane.quotient, channels).remainder;
  }

  __device__ std::int64_t channel() const { return channel_; }
  __device__ void advance() {
    if (--left_ > 0) return;
    left_ = inner_;
    channel_ = channel_ + 1 < channels_ ? channel_ + 1 : 0;
  }

 private:
  std::int64_t channels_, inner_;
  std::int64_t left_;  // elements left of the channel, this one included
  std::int64_t channel_;
};

}  // namespace qmse::device
