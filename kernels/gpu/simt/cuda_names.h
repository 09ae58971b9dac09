// CUDA's names for the SIMT executor: kernels/gpu/cuda_names.h includes this where nvcc has its own. Only
// what the kernels may use is here, so a kernel that leaves the subset does not compile for the tests.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/gpu/simt/intrinsics.h"
#include "kernels/gpu/simt/thread.h"
#include "kernels/gpu/simt/vector_types.h"

#define __global__ inline
#define __device__
#define __host__
#define __shared__ static  // a SharedArray finds the running block's contents itself
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

inline const uint3& threadIdx = qmse::simt::current.thread;
inline const uint3& blockIdx = qmse::simt::current.block;
inline const dim3& blockDim = qmse::simt::current.block_size;
inline const dim3& gridDim = qmse::simt::current.grid_size;
inline constexpr int warpSize = qmse::simt::warp_size;

namespace qmse {

// Static shared memory (kernels/gpu/cuda_names.h). Bounds are checked in every build.
template <class T, unsigned size>
class SharedArray {
  static_assert(std::is_trivial_v<T>, "CUDA shared memory is not initialised: trivial types only");
  static_assert(alignof(T) <= 16);

 public:
  SharedArray() : storage_(sizeof(T) * size) {}
  T& operator[](unsigned index) {
    simt::preemption_point();
    if (index >= size) {
      simt::fail("index " + std::to_string(static_cast<int>(index)) + " into a SharedArray of " +
                 std::to_string(size));
    }
    return static_cast<T*>(storage_.memory())[index];
  }
  T* data() {
    simt::preemption_point();
    return static_cast<T*>(storage_.memory());
  }

 private:
  simt::SharedStorage storage_;
};

template <class T>
T* dynamic_shared() {
  static_assert(std::is_trivial_v<T>, "CUDA shared memory is not initialised: trivial types only");
  static_assert(alignof(T) <= 16, "dynamic shared memory is 16-byte aligned");
  return static_cast<T*>(simt::dynamic_shared_memory());
}

}  // namespace qmse

namespace qmse::simt {

template <class T>
T shuffle(WarpOperation operation, unsigned mask, T value, unsigned lane, int width, Site where) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles move 4 or 8 bytes");
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const WarpRequest request{operation, mask, lane, static_cast<unsigned>(width), std::bit_cast<Bits>(value)};
  return std::bit_cast<T>(static_cast<Bits>(warp_operation(request, where)));
}

inline std::uint64_t vote(WarpOperation operation, unsigned mask, int predicate, Site where) {
  return warp_operation({operation, mask, 0, warp_size, predicate != 0 ? 1u : 0u}, where);
}

template <class T, class... Allowed>
inline constexpr bool is_one_of = (std::is_same_v<T, Allowed> || ...);

template <class T, class Change>
T atomic(T* address, const Change& change) {
  preemption_point();
  const T old = *address;
  *address = change(old);
  return old;
}

}  // namespace qmse::simt

inline void __syncthreads(qmse::simt::Site where = qmse::simt::Site::here()) {
  qmse::simt::wait_at_barrier(where);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, qmse::simt::Site where = qmse::simt::Site::here()) {
  qmse::simt::warp_operation({qmse::simt::WarpOperation::sync, mask, 0, qmse::simt::warp_size, 0}, where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize,
              qmse::simt::Site where = qmse::simt::Site::here()) {
  return qmse::simt::shuffle(qmse::simt::WarpOperation::shuffle, mask, value, static_cast<unsigned>(lane),
                             width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                 qmse::simt::Site where = qmse::simt::Site::here()) {
  return qmse::simt::shuffle(qmse::simt::WarpOperation::shuffle_up, mask, value, distance, width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = warpSize,
                   qmse::simt::Site where = qmse::simt::Site::here()) {
  return qmse::simt::shuffle(qmse::simt::WarpOperation::shuffle_down, mask, value, distance, width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                  qmse::simt::Site where = qmse::simt::Site::here()) {
  return qmse::simt::shuffle(qmse::simt::WarpOperation::shuffle_xor, mask, value,
                             static_cast<unsigned>(lane_mask), width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              qmse::simt::Site where = qmse::simt::Site::here()) {
  return static_cast<unsigned>(qmse::simt::vote(qmse::simt::WarpOperation::ballot, mask, predicate, where));
}
inline int __any_sync(unsigned mask, int predicate, qmse::simt::Site where = qmse::simt::Site::here()) {
  return static_cast<int>(qmse::simt::vote(qmse::simt::WarpOperation::any, mask, predicate, where));
}
inline int __all_sync(unsigned mask, int predicate, qmse::simt::Site where = qmse::simt::Site::here()) {
  return static_cast<int>(qmse::simt::vote(qmse::simt::WarpOperation::all, mask, predicate, where));
}

// Atomics, for the types CUDA has them for. Not for floats: the sum would depend on the order of threads.
#define QMSE_SIMT_ATOMIC(name, expression, ...)                                                     \
  template <class T>                                                                                \
  T atomic##name(T* address, std::type_identity_t<T> value) {                                       \
    static_assert(qmse::simt::is_one_of<T, __VA_ARGS__>, "atomic" #name " has no such type");       \
    return qmse::simt::atomic(address, [value](T old) -> T { return static_cast<T>(expression); }); \
  }
// Sums wrap around, also for signed types.
QMSE_SIMT_ATOMIC(Add, static_cast<unsigned long long>(old) + static_cast<unsigned long long>(value), int,
                 unsigned, unsigned long long)
QMSE_SIMT_ATOMIC(Sub, static_cast<unsigned>(old) - static_cast<unsigned>(value), int, unsigned)
QMSE_SIMT_ATOMIC(Min, value < old ? value : old, int, unsigned, long long, unsigned long long)
QMSE_SIMT_ATOMIC(Max, old < value ? value : old, int, unsigned, long long, unsigned long long)
QMSE_SIMT_ATOMIC(And, old& value, int, unsigned, unsigned long long)
QMSE_SIMT_ATOMIC(Or, old | value, int, unsigned, unsigned long long)
QMSE_SIMT_ATOMIC(Xor, old ^ value, int, unsigned, unsigned long long)
QMSE_SIMT_ATOMIC(Exch, (static_cast<void>(old), value), int, unsigned, unsigned long long)
#undef QMSE_SIMT_ATOMIC

template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  static_assert(qmse::simt::is_one_of<T, int, unsigned, unsigned long long>, "atomicCAS has no such type");
  return qmse::simt::atomic(address, [&](T old) { return old == expected ? value : old; });
}
