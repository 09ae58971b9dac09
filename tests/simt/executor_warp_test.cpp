// Warp shuffles and votes of the SIMT executor against their definition in the CUDA C++ programming guide.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/gpu/cuda_names.h"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

namespace {

using qmse::LaunchShape;
using qmse::SharedArray;
using qmse::simt::Context;
using qmse::simt::seeds;

constexpr unsigned all_lanes = 0xFFFFFFFFu;

enum class Shuffle { index, up, down, exclusive_or };

// Distinct for every thread, and using every byte of T.
template <class T>
__host__ __device__ T value_of(unsigned thread) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(thread) + T(0.1);
  } else {
    return static_cast<T>(0x0123456789ABCDEFull * (thread + 1));
  }
}

template <class T>
__global__ void shuffle_kernel(Shuffle shuffle, unsigned mask, int operand, int width, T* out) {
  const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
  if ((mask >> threadIdx.x % 32 & 1u) == 0) return;
  const T value = value_of<T>(thread);
  switch (shuffle) {
    case Shuffle::index:
      out[thread] = __shfl_sync(mask, value, operand, width);
      break;
    case Shuffle::up:
      out[thread] = __shfl_up_sync(mask, value, static_cast<unsigned>(operand), width);
      break;
    case Shuffle::down:
      out[thread] = __shfl_down_sync(mask, value, static_cast<unsigned>(operand), width);
      break;
    case Shuffle::exclusive_or:
      out[thread] = __shfl_xor_sync(mask, value, operand, width);
      break;
  }
}

// The lane each form reads, in the words of the guide: groups of `width` lanes, each a warp of its own; a
// lane whose source lies outside the group keeps its own value; indices are taken modulo width; xor may reach
// earlier groups.
int source_lane(Shuffle shuffle, int lane, int operand, int width) {
  const int group = lane / width;
  switch (shuffle) {
    case Shuffle::index:
      return group * width + ((operand % width) + width) % width;
    case Shuffle::up:
      return (lane - operand) < group * width ? lane : lane - operand;
    case Shuffle::down:
      return (lane + operand) / width != group ? lane : lane + operand;
    case Shuffle::exclusive_or:
      return ((lane ^ operand) / width) > group ? lane : lane ^ operand;
  }
  return -1;
}

template <class T>
void check_shuffles(unsigned mask, unsigned threads) {
  constexpr unsigned blocks = 2;
  const T untouched = value_of<T>(999);
  for (const std::uint64_t seed : seeds()) {
    for (const Shuffle shuffle : {Shuffle::index, Shuffle::up, Shuffle::down, Shuffle::exclusive_or}) {
      for (const int width : {1, 2, 8, 16, 32}) {
        for (const int operand : {0, 1, 2, 3, 5, 7, 8, 15, 16, 17, 30, 31}) {
          CAPTURE(seed, static_cast<int>(shuffle), mask, threads, width, operand);
          std::vector<T> out(blocks * threads, untouched);
          Context gpu(seed);
          gpu.launch(QMSE_KERNEL(shuffle_kernel<T>), LaunchShape{blocks, threads}, shuffle, mask, operand,
                     width, out.data());
          int wrong = 0;
          for (unsigned i = 0; i < out.size(); ++i) {
            const unsigned lane = i % threads % 32;
            T expected = untouched;
            if ((mask >> lane & 1u) != 0) {
              const unsigned source =
                  static_cast<unsigned>(source_lane(shuffle, static_cast<int>(lane), operand, width));
              const unsigned in_block = i % threads - lane + source;
              const bool takes_part = in_block < threads && (mask >> source & 1u) != 0;
              std::memcpy(&expected, &qmse::simt::poison, sizeof(T));
              if (takes_part) expected = value_of<T>(i - lane + source);
            }
            wrong += std::memcmp(&out[i], &expected, sizeof(T)) != 0;
          }
          CHECK(wrong == 0);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("executor: shuffles of whole warps") {
  check_shuffles<int>(all_lanes, 32);
  check_shuffles<double>(all_lanes, 64);
}
TEST_CASE("executor: shuffles of partial last warps") {
  check_shuffles<float>(all_lanes, 7);
  check_shuffles<unsigned long long>(all_lanes, 45);
}
TEST_CASE("executor: shuffles with partial masks") {
  check_shuffles<unsigned>(0x0000FFFFu, 32);
  check_shuffles<long long>(0xA5A50F01u, 45);
}

namespace {

__global__ void negative_source_kernel(int* out) {
  out[threadIdx.x] = __shfl_sync(all_lanes, static_cast<int>(threadIdx.x), -1, 8);
}
__global__ void far_source_kernel(int* out) {
  const int value = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = __shfl_up_sync(all_lanes, value, 0xFFFFFFFFu) - value +
                     __shfl_down_sync(all_lanes, value, 0xFFFFFFFFu) - value;
}

}  // namespace

TEST_CASE("executor: shuffles from lanes that no warp has") {
  std::vector<int> out(32);
  Context gpu(2);
  gpu.launch(QMSE_KERNEL(negative_source_kernel), LaunchShape{1, 32}, out.data());
  for (int lane = 0; lane < 32; ++lane) CHECK(out[static_cast<std::size_t>(lane)] == lane / 8 * 8 + 7);
  gpu.launch(QMSE_KERNEL(far_source_kernel), LaunchShape{1, 32}, out.data());
  CHECK(out == std::vector<int>(32, 0));
}

namespace {

struct Votes {
  unsigned ballot;
  int any, all;
};

// Lane l votes bit l of `predicates`, as some non-zero number.
__global__ void vote_kernel(unsigned mask, unsigned predicates, Votes* out) {
  const unsigned lane = threadIdx.x % 32;
  if ((mask >> lane & 1u) == 0) return;
  const int vote = (predicates >> lane & 1u) != 0 ? -static_cast<int>(lane) - 1 : 0;
  out[threadIdx.x].ballot = __ballot_sync(mask, vote);
  out[threadIdx.x].any = __any_sync(mask, vote);
  out[threadIdx.x].all = __all_sync(mask, vote);
}

}  // namespace

TEST_CASE("executor: votes of whole and partial warps") {
  for (const std::uint64_t seed : seeds()) {
    for (const unsigned threads : {1u, 32u, 33u, 61u}) {
      for (const unsigned mask : {all_lanes, 0x0000FFFFu, 0x80000001u, 0x00000001u}) {
        for (const unsigned predicates : {0u, all_lanes, 0x0000FFFFu, 0x80000000u, 0x5555AAAAu}) {
          CAPTURE(seed, threads, mask, predicates);
          std::vector<Votes> out(threads, Votes{7, 7, 7});
          Context gpu(seed);
          gpu.launch(QMSE_KERNEL(vote_kernel), LaunchShape{1, threads}, mask, predicates, out.data());
          int wrong = 0;
          for (unsigned i = 0; i < threads; ++i) {
            const unsigned lanes = std::min(32u, threads - i / 32 * 32);
            const unsigned taking_part = mask & (lanes == 32 ? all_lanes : (1u << lanes) - 1);
            const bool votes = (mask >> i % 32 & 1u) != 0;
            const unsigned ballot = votes ? predicates & taking_part : 7;
            const int any = votes ? (predicates & taking_part) != 0 : 7;
            const int all = votes ? (predicates & taking_part) == taking_part : 7;
            wrong += out[i].ballot != ballot || out[i].any != any || out[i].all != all;
          }
          CHECK(wrong == 0);
        }
      }
    }
  }
}

namespace {

// Halves of each warp meet in loops of different length, then the warp, then the block.
__global__ void halves_kernel(int* out) {
  const bool upper = threadIdx.x % 32 >= 16;
  const unsigned half = upper ? 0xFFFF0000u : 0x0000FFFFu;
  int sum = 1;
  for (int round = 0; round < (upper ? 5 : 3); ++round) sum += __shfl_xor_sync(half, sum, 1 << round % 4);
  sum += __shfl_xor_sync(all_lanes, sum, 16);
  __syncthreads();
  out[threadIdx.x] = sum;
}

// Lanes leave one after the other; those that stay go on meeting.
__global__ void leaving_kernel(int* out) {
  const unsigned lane = threadIdx.x % 32;
  int met = 0;
  for (unsigned round = 0; round < lane; ++round) met += __any_sync(all_lanes << (round + 1), 1);
  out[threadIdx.x] = met;
}

// A mask may name lanes that have exited.
__global__ void exited_lanes_kernel(unsigned* out) {
  if (threadIdx.x % 3 == 0) return;
  out[threadIdx.x] = __ballot_sync(all_lanes, 1);
}

}  // namespace

TEST_CASE("executor: parts of a warp meet independently") {
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed);
    Context gpu(seed);
    std::vector<int> sums(96), met(64), expected(64);
    gpu.launch(QMSE_KERNEL(halves_kernel), LaunchShape{1, 96}, sums.data());
    CHECK(sums == std::vector<int>(96, 8 + 32));
    gpu.launch(QMSE_KERNEL(leaving_kernel), LaunchShape{1, 64}, met.data());
    for (int thread = 0; thread < 64; ++thread) expected[static_cast<std::size_t>(thread)] = thread % 32;
    CHECK(met == expected);
    std::vector<unsigned> ballots(64);
    gpu.launch(QMSE_KERNEL(exited_lanes_kernel), LaunchShape{1, 64}, ballots.data());
    for (unsigned thread = 0; thread < 64; ++thread) {
      unsigned others = 0;  // the lanes of the warp that are still there
      for (unsigned lane = 0; lane < 32; ++lane)
        others |= unsigned{(thread / 32 * 32 + lane) % 3 != 0} << lane;
      CHECK(ballots[thread] == (thread % 3 == 0 ? 0 : others));
    }
  }
}

namespace {

// What kernels do with all this: a sum by warps, then over the warps.
template <class T, unsigned warps>
__global__ void block_sum_kernel(const T* x, T* sum) {
  __shared__ SharedArray<T, warps> partial;
  T value = x[threadIdx.x];
  for (unsigned distance = 16; distance > 0; distance /= 2)
    value += __shfl_down_sync(all_lanes, value, distance);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x < 32) {
    value = threadIdx.x < warps ? partial[threadIdx.x] : T{0};
    for (unsigned distance = 16; distance > 0; distance /= 2)
      value += __shfl_down_sync(all_lanes, value, distance);
    if (threadIdx.x == 0) *sum = value;
  }
}

// Neighbours exchange through shared memory within a warp.
__global__ void syncwarp_kernel(int* out) {
  __shared__ SharedArray<int, 64> x;
  x[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = x[threadIdx.x ^ 1u];
}

}  // namespace

TEST_CASE("executor: sums over warps and blocks") {
  std::vector<double> x(512);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i * i);
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed);
    Context gpu(seed);
    double sum = 0;
    gpu.launch(QMSE_KERNEL(block_sum_kernel<double, 16>), LaunchShape{1, 512}, x.data(), &sum);
    CHECK(sum == 511.0 * 512.0 * 1023.0 / 6.0);
    std::vector<int> swapped(64);
    gpu.launch(QMSE_KERNEL(syncwarp_kernel), LaunchShape{1, 64}, swapped.data());
    for (int i = 0; i < 64; ++i) CHECK(swapped[static_cast<std::size_t>(i)] == (i ^ 1));
  }
}
