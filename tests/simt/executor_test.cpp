// The SIMT executor does what CUDA does: indices, barriers, warp operations, shared memory, atomics.
#include "tests/simt/executor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/gpu/cuda_names.h"
#include "tests/support/catch.h"

namespace {

using qmse::dynamic_shared;
using qmse::Extent;
using qmse::LaunchShape;
using qmse::SharedArray;
using qmse::simt::Context;
using qmse::simt::seeds;

__device__ unsigned linear_thread() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}
__device__ unsigned linear_block() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }

struct Indices {
  unsigned thread[3], block[3], block_size[3], grid_size[3];
};

__global__ void indices_kernel(Indices* out, int* visits) {
  const unsigned at = linear_block() * (blockDim.x * blockDim.y * blockDim.z) + linear_thread();
  __syncthreads();  // the indices belong to the thread again after every switch
  out[at] = {{threadIdx.x, threadIdx.y, threadIdx.z},
             {blockIdx.x, blockIdx.y, blockIdx.z},
             {blockDim.x, blockDim.y, blockDim.z},
             {gridDim.x, gridDim.y, gridDim.z}};
  ++visits[at];
}

}  // namespace

TEST_CASE("executor: every thread of every block runs once with its own indices") {
  for (const std::uint64_t seed : seeds()) {
    for (const auto& [grid, block] :
         {std::tuple(Extent(1), Extent(1)), std::tuple(Extent(3), Extent(33)),
          std::tuple(Extent(2, 3, 4), Extent(5, 3, 7)), std::tuple(Extent(1, 1, 2), Extent(16, 1, 64))}) {
      CAPTURE(seed, grid.x, block.x);
      const std::size_t threads = grid.count() * block.count();
      std::vector<Indices> seen(threads);
      std::vector<int> visits(threads);
      Context gpu(seed);
      gpu.launch(QMSE_KERNEL(indices_kernel), LaunchShape{grid, block}, seen.data(), visits.data());
      CHECK(visits == std::vector<int>(threads, 1));
      std::size_t at = 0;
      int wrong = 0;
      for (unsigned bz = 0; bz < grid.z; ++bz)
        for (unsigned by = 0; by < grid.y; ++by)
          for (unsigned bx = 0; bx < grid.x; ++bx)
            for (unsigned z = 0; z < block.z; ++z)
              for (unsigned y = 0; y < block.y; ++y)
                for (unsigned x = 0; x < block.x; ++x, ++at) {
                  const Indices& s = seen[at];
                  wrong += s.thread[0] != x || s.thread[1] != y || s.thread[2] != z || s.block[0] != bx ||
                           s.block[1] != by || s.block[2] != bz || s.block_size[0] != block.x ||
                           s.block_size[1] != block.y || s.block_size[2] != block.z ||
                           s.grid_size[0] != grid.x || s.grid_size[1] != grid.y || s.grid_size[2] != grid.z;
                }
      CHECK(wrong == 0);
    }
  }
}

namespace {

struct Pair {
  int a;
  double b;
};

__global__ void parameters_kernel(Pair pair, std::int64_t n, const int* in, int* out) {
  pair.a += static_cast<int>(threadIdx.x);  // a parameter is the thread's own
  __syncthreads();
  out[threadIdx.x] = pair.a + static_cast<int>(pair.b) + static_cast<int>(n) + in[0];
}

}  // namespace

TEST_CASE("executor: parameters are converted at the launch and private to each thread") {
  const int in = 1000;
  std::vector<int> out(40), expected(40);
  std::iota(expected.begin(), expected.end(), 10 + 2 + 7 + 1000);
  Context gpu(2);
  gpu.launch(QMSE_KERNEL(parameters_kernel), LaunchShape{1, 40}, Pair{10, 2.5}, 7, &in, out.data());
  CHECK(out == expected);
}

namespace {

// Reverses each block's part, round after round, through static and dynamic shared memory.
template <class T, unsigned size>
__global__ void reverse_kernel(int rounds, T* x) {
  __shared__ SharedArray<T, size> by_static;
  T* by_dynamic = dynamic_shared<T>();
  T* part = x + blockIdx.x * size;
  for (int round = 0; round < rounds; ++round) {
    by_static[threadIdx.x] = part[threadIdx.x];
    __syncthreads();
    by_dynamic[threadIdx.x] = by_static[size - 1 - threadIdx.x];
    __syncthreads();
    part[threadIdx.x] = by_dynamic[threadIdx.x];
    __syncthreads();
  }
}

template <class T, unsigned size>
void check_reverse() {
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed, size);
    constexpr unsigned blocks = 5;
    std::vector<T> x(blocks * size), expected(blocks * size);
    for (unsigned i = 0; i < x.size(); ++i) {
      x[i] = static_cast<T>(i);
      expected[i] = static_cast<T>(i / size * size + size - 1 - i % size);
    }
    Context gpu(seed);
    gpu.launch(QMSE_KERNEL(reverse_kernel<T, size>), LaunchShape{blocks, size, size * sizeof(T)}, 3,
               x.data());
    CHECK((x == expected));
  }
}

}  // namespace

TEST_CASE("executor: barriers order accesses to static and dynamic shared memory, also in templates") {
  check_reverse<float, 1>();
  check_reverse<float, 31>();
  check_reverse<float, 257>();
  check_reverse<double, 257>();
  check_reverse<int, 1024>();
}

namespace {

__device__ inline int& counter_in_function() {
  __shared__ SharedArray<int, 1> counter;
  return counter[0];
}
template <int n>
__device__ int* numbers_in_template() {
  __shared__ SharedArray<int[n], 3> numbers;
  return numbers[1];
}
struct Functor {
  __device__ int* operator()() const {
    __shared__ SharedArray<int, 8> own;
    return own.data();
  }
};

__global__ void shared_in_functions_kernel(int* out) {
  if (threadIdx.x == 0) {
    counter_in_function() = 1;
    numbers_in_template<2>()[1] = 2;
    numbers_in_template<3>()[1] = 3;
    Functor()()[7] = 4;
  }
  __syncthreads();
  out[linear_thread()] = counter_in_function() + 10 * numbers_in_template<2>()[1] +
                         100 * numbers_in_template<3>()[1] + 1000 * Functor()()[7];
}

}  // namespace

TEST_CASE("executor: static shared memory may stand in functions, templates and members") {
  std::vector<int> out(64);
  Context gpu(3);
  gpu.launch(QMSE_KERNEL(shared_in_functions_kernel), LaunchShape{1, 64}, out.data());
  CHECK(out == std::vector<int>(64, 4321));
}

namespace {

struct Uninitialised {
  float as_float;
  double as_double;
  int as_int;
  float dynamic_first, dynamic_last;
};

__global__ void read_before_write_kernel(Uninitialised* out) {
  __shared__ SharedArray<float, 7> floats;
  __shared__ SharedArray<double, 3> doubles;
  __shared__ SharedArray<int, 5> ints;
  float* dynamic = dynamic_shared<float>();
  out[blockIdx.x] = {floats[6], doubles[2], ints[4], dynamic[0], dynamic[10]};
  floats[6] = 1.0f;
  doubles[2] = 1.0;
  ints[4] = 1;
  dynamic[0] = dynamic[10] = 1.0f;
}

}  // namespace

TEST_CASE("executor: shared memory does not keep its contents from block to block") {
  std::vector<Uninitialised> out(3);
  Context gpu(0);
  for (int launch = 0; launch < 2; ++launch) {
    gpu.launch(QMSE_KERNEL(read_before_write_kernel), LaunchShape{3, 1, 11 * sizeof(float)}, out.data());
    for (const Uninitialised& seen : out) {
      CHECK(std::isnan(seen.as_float));
      CHECK(std::isnan(seen.as_double));
      CHECK(std::abs(seen.as_int) > 100000);  // no index that could pass for one
      CHECK(std::isnan(seen.dynamic_first));
      CHECK(std::isnan(seen.dynamic_last));
    }
  }
}

namespace {

template <class T>
__global__ void atomics_kernel(T* sum, T* smallest, T* largest, T* bits, T* tickets, T* taken) {
  const T value = static_cast<T>(linear_block() * blockDim.x + threadIdx.x);
  atomicAdd(sum, value);
  atomicMin(smallest, value + T{5});
  atomicMax(largest, value);
  atomicOr(bits, T{1} << (value % 31));
  taken[atomicAdd(tickets, T{1})] = value;  // every ticket is given out once
}

template <class T>
void check_atomics() {
  constexpr int blocks = 4, threads = 70, n = blocks * threads;
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed);
    T sum = 0, smallest = 1000000, largest = 0, bits = 0, tickets = 0;
    std::vector<T> taken(n), expected(n);
    std::iota(expected.begin(), expected.end(), T{0});
    Context gpu(seed);
    gpu.launch(QMSE_KERNEL(atomics_kernel<T>), LaunchShape{blocks, threads}, &sum, &smallest, &largest, &bits,
               &tickets, taken.data());
    CHECK(sum == T{n * (n - 1) / 2});
    CHECK(smallest == T{5});
    CHECK(largest == T{n - 1});
    CHECK(bits == static_cast<T>(0x7FFFFFFF));
    CHECK(tickets == T{n});
    std::sort(taken.begin(), taken.end());
    CHECK(taken == expected);
  }
}

__global__ void other_atomics_kernel(unsigned* x) {
  x[1] = atomicSub(&x[0], 3u);
  x[3] = atomicExch(&x[2], 9u);
  x[5] = atomicCAS(&x[4], 7u, 8u);
  x[7] = atomicCAS(&x[6], 6u, 8u);
  x[9] = atomicAnd(&x[8], 0xF0u);
  x[11] = atomicXor(&x[10], 0xFFu);
}

__global__ void wrapping_atomic_kernel(int* x) { atomicAdd(x, 1); }

}  // namespace

TEST_CASE("executor: atomics") {
  check_atomics<int>();
  check_atomics<unsigned>();
  check_atomics<unsigned long long>();

  std::vector<unsigned> x = {1, 0, 2, 0, 7, 0, 7, 0, 0xABu, 0, 0x0Fu, 0};
  Context gpu(0);
  gpu.launch(QMSE_KERNEL(other_atomics_kernel), LaunchShape{1, 1}, x.data());
  CHECK(x == std::vector<unsigned>{0u - 2u, 1, 9, 2, 8, 7, 7, 7, 0xA0u, 0xABu, 0xF0u, 0x0Fu});

  int most = std::numeric_limits<int>::max();
  gpu.launch(QMSE_KERNEL(wrapping_atomic_kernel), LaunchShape{1, 1}, &most);
  CHECK(most == std::numeric_limits<int>::min());
}

namespace {

// Which thread wrote at which turn, between two barriers.
__global__ void order_kernel(int* turns, int* order) {
  order[(*turns)++] = static_cast<int>(linear_block() * blockDim.x + threadIdx.x);
  __syncthreads();
  order[(*turns)++] = static_cast<int>(linear_block() * blockDim.x + threadIdx.x);
}

std::vector<int> order_of(std::uint64_t seed) {
  std::vector<int> order(4 * 2 * 48);
  int turns = 0;
  Context gpu(seed);
  gpu.launch(QMSE_KERNEL(order_kernel), LaunchShape{4, 48}, &turns, order.data());
  return order;
}

}  // namespace

TEST_CASE("executor: seeds decide the order of blocks and threads") {
  std::vector<int> ascending;
  for (int block = 0; block < 4; ++block) {
    for (int half = 0; half < 2; ++half) {
      for (int thread = 0; thread < 48; ++thread) ascending.push_back(48 * block + thread);
    }
  }
  CHECK(order_of(0) == ascending);
  CHECK(order_of(1) == std::vector<int>(ascending.rbegin(), ascending.rend()));

  std::set<std::vector<int>> orders, block_orders;
  for (std::uint64_t seed = 2; seed < 22; ++seed) {
    const std::vector<int> order = order_of(seed);
    CAPTURE(seed);
    CHECK(order == order_of(seed));
    std::vector<int> blocks;
    for (int block = 0; block < 4; ++block) {
      const auto begin = order.begin() + block * 96;
      blocks.push_back(begin[0] / 48);
      std::vector<int> first(begin, begin + 48), second(begin + 48, begin + 96);
      CHECK(first != second);  // shuffled again at the barrier
      std::sort(first.begin(), first.end());
      std::sort(second.begin(), second.end());
      CHECK(first == second);  // and the same threads on both sides of it
    }
    orders.insert(order);
    block_orders.insert(blocks);
  }
  CHECK(orders.size() == 20);
  CHECK(block_orders.size() > 8);  // of 24; 20 independent draws give 8 or fewer with probability under 1e-4
}

namespace {

__global__ void one_barrier_kernel(float* x) {
  const unsigned i = linear_block() * blockDim.x + threadIdx.x;
  x[i] += 1.0f;
  __syncthreads();
  x[i] += 2.0f;
}

}  // namespace

TEST_CASE("executor: big grids") {
  constexpr unsigned blocks = 1000, threads = 256;
  std::vector<float> x(blocks * threads);
  Context gpu(2);
  gpu.launch(QMSE_KERNEL(one_barrier_kernel), LaunchShape{blocks, threads}, x.data());
  CHECK(x == std::vector<float>(x.size(), 3.0f));
}
