// The SIMT executor catches what it is for: planted mistakes, one kernel each.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/gpu/cuda_names.h"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

namespace {

using qmse::dynamic_shared;
using qmse::LaunchShape;
using qmse::SharedArray;
using qmse::simt::Context;
using qmse::simt::Error;
using qmse::simt::seeds;

constexpr unsigned all_lanes = 0xFFFFFFFFu;
constexpr unsigned threads = 64;

// The first of `parts` that `text` lacks, with the text; empty where it has all of them.
std::string missing(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) return "no \"" + part + "\" in: " + text;
  }
  return "";
}

// Whether `kernel`, which adds up or moves `threads` numbers, is wrong under at least one of the
// standard seeds.
template <class Kernel>
bool caught(const Kernel& kernel, const std::vector<int>& expected) {
  bool wrong = false;
  for (const std::uint64_t seed : seeds()) {
    std::vector<int> out(threads);
    Context gpu(seed);
    gpu.launch(kernel, LaunchShape{1, threads, threads * sizeof(int)}, out.data());
    wrong = wrong || out != expected;
  }
  return wrong;
}

// The mistakes come with their correction, which must pass. Neighbours to the right and to the left both
// occur, as one order of threads hides one of them.
template <bool correct, int shift>
__global__ void read_after_write_kernel(int* out) {
  int* x = dynamic_shared<int>();
  x[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (correct) __syncthreads();
  out[threadIdx.x] = x[(threadIdx.x + shift) % threads];
}

template <bool correct, int shift>
__global__ void write_after_read_kernel(int* out) {
  __shared__ SharedArray<int, threads> x;
  x[threadIdx.x] = static_cast<int>(threadIdx.x);
  __syncthreads();
  const int neighbour = x[(threadIdx.x + shift) % threads];
  if (correct) __syncthreads();
  x[threadIdx.x] = -1;
  out[threadIdx.x] = neighbour;
}

template <bool correct, int shift>
__global__ void warp_read_after_write_kernel(int* out) {
  __shared__ SharedArray<int, threads> x;
  const unsigned warp = threadIdx.x / 32 * 32;
  x[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (correct) __syncwarp();
  out[threadIdx.x] = x[warp + (threadIdx.x + shift) % 32];
}

template <bool correct>
__global__ void tree_sum_kernel(int* out) {
  __shared__ SharedArray<int, threads> x;
  x[threadIdx.x] = 1;
  __syncthreads();
  for (unsigned distance = threads / 2; distance > 0; distance /= 2) {
    if (threadIdx.x < distance) x[threadIdx.x] += x[threadIdx.x + distance];
    if (correct || distance > 32) __syncthreads();  // counts on warps in lockstep
  }
  __syncthreads();
  out[threadIdx.x] = x[0];
}

template <bool correct>
__global__ void lost_update_kernel(int* out) {
  __shared__ SharedArray<int, 1> sum;
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  if (correct) {
    atomicAdd(&sum[0], 1);
  } else {
    const int old = sum[0];
    sum[0] = old + 1;
  }
  __syncthreads();
  out[threadIdx.x] = sum[0];
}

std::vector<int> shifted(int shift, unsigned group) {
  std::vector<int> expected;
  for (unsigned i = 0; i < threads; ++i) {
    expected.push_back(
        static_cast<int>(i / group * group + (i % group + static_cast<unsigned>(shift)) % group));
  }
  return expected;
}

}  // namespace

TEST_CASE("executor: a missing barrier gives a wrong answer") {
  CHECK(caught(QMSE_KERNEL(read_after_write_kernel<false, 1>), shifted(1, threads)));
  CHECK(caught(QMSE_KERNEL(read_after_write_kernel<false, threads - 1>), shifted(threads - 1, threads)));
  CHECK(caught(QMSE_KERNEL(write_after_read_kernel<false, 1>), shifted(1, threads)));
  CHECK(caught(QMSE_KERNEL(write_after_read_kernel<false, threads - 1>), shifted(threads - 1, threads)));
  CHECK(caught(QMSE_KERNEL(warp_read_after_write_kernel<false, 1>), shifted(1, 32)));
  CHECK(caught(QMSE_KERNEL(warp_read_after_write_kernel<false, 31>), shifted(31, 32)));
  CHECK(caught(QMSE_KERNEL(tree_sum_kernel<false>), std::vector<int>(threads, threads)));
  CHECK(caught(QMSE_KERNEL(lost_update_kernel<false>), std::vector<int>(threads, threads)));
}

TEST_CASE("executor: the same kernels with their barriers give the right one") {
  CHECK_FALSE(caught(QMSE_KERNEL(read_after_write_kernel<true, 1>), shifted(1, threads)));
  CHECK_FALSE(caught(QMSE_KERNEL(read_after_write_kernel<true, threads - 1>), shifted(threads - 1, threads)));
  CHECK_FALSE(caught(QMSE_KERNEL(write_after_read_kernel<true, 1>), shifted(1, threads)));
  CHECK_FALSE(caught(QMSE_KERNEL(write_after_read_kernel<true, threads - 1>), shifted(threads - 1, threads)));
  CHECK_FALSE(caught(QMSE_KERNEL(warp_read_after_write_kernel<true, 1>), shifted(1, 32)));
  CHECK_FALSE(caught(QMSE_KERNEL(warp_read_after_write_kernel<true, 31>), shifted(31, 32)));
  CHECK_FALSE(caught(QMSE_KERNEL(tree_sum_kernel<true>), std::vector<int>(threads, threads)));
  CHECK_FALSE(caught(QMSE_KERNEL(lost_update_kernel<true>), std::vector<int>(threads, threads)));
}

namespace {

__global__ void exit_before_barrier_kernel(unsigned n, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __syncthreads();
  out[i] = 1;
}

constexpr int two_barriers_line = __LINE__;
__global__ void two_barriers_kernel() {
  if (threadIdx.y < 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_and_shuffle_kernel(int* out) {
  if (threadIdx.x == 5) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_sync(all_lanes, 1, 0);
  }
}

__global__ void different_masks_kernel() {
  const unsigned mask = threadIdx.x % 2 == 0 ? all_lanes : 0xAAAAAAABu;  // lane 0 is in both
  __any_sync(mask, 1);
}

// What launching `kernel` throws, under every seed.
template <class... Parameters, class... Arguments>
std::string error_of(const qmse::Kernel<Parameters...>& kernel, const LaunchShape& shape,
                     Arguments... arguments) {
  std::string message;
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed, kernel.name);
    Context gpu(seed);
    message.clear();
    try {
      gpu.launch(kernel, shape, arguments...);
    } catch (const Error& error) {
      message = error.what();
    }
    REQUIRE(missing(message, {kernel.name}).empty());
  }
  return message;
}

}  // namespace

TEST_CASE("executor: divergent barriers are reported with block and threads") {
  std::vector<int> out(threads * 3);
  CHECK(
      missing(error_of(QMSE_KERNEL(exit_before_barrier_kernel), LaunchShape{3, threads}, 100u, out.data()),
              {"divergent barrier", "block (1, 0, 0)", "threads (0, 0, 0) to (35, 0, 0) in __syncthreads at",
               "executor_faults_test.cpp:", "threads (36, 0, 0) to (63, 0, 0) exited", "seed 3"}) == "");
  const auto barrier_at = [](int line) {
    return std::string(" in __syncthreads at ") + __FILE__ + ":" + std::to_string(line);
  };
  CHECK(missing(error_of(QMSE_KERNEL(two_barriers_kernel), LaunchShape{2, {16, 4}}),
                {"threads (0, 0, 0) to (15, 1, 0)" + barrier_at(two_barriers_line + 3),
                 "threads (0, 2, 0) to (15, 3, 0)" + barrier_at(two_barriers_line + 5)}) == "");
  CHECK(missing(error_of(QMSE_KERNEL(barrier_and_shuffle_kernel), LaunchShape{1, 32}, out.data()),
                {"thread (5, 0, 0) in __syncthreads", "in __shfl_sync at", "with mask 0xffffffff"}) == "");
  CHECK(missing(error_of(QMSE_KERNEL(different_masks_kernel), LaunchShape{1, 32}),
                {"thread (0, 0, 0) in __any_sync at", "with mask 0xaaaaaaab"}) == "");
}

namespace {

__global__ void not_in_mask_kernel() { __syncwarp(0x7FFFFFFFu); }
__global__ void width_kernel(int width) { __shfl_sync(all_lanes, 1, 0, width); }
__global__ void index_kernel(unsigned index) {
  __shared__ SharedArray<float, 8> x;
  x[index] = 1.0f;
}
__global__ void dynamic_kernel() { dynamic_shared<float>(); }
template <unsigned bytes>
__global__ void static_kernel() {
  __shared__ SharedArray<unsigned char, bytes> x;
  x[0] = 1;
}
__global__ void nothing_kernel() {}
__global__ void launching_kernel(Context* gpu) { gpu->launch(QMSE_KERNEL(nothing_kernel), LaunchShape{}); }

}  // namespace

TEST_CASE("executor: what CUDA leaves undefined is an error") {
  CHECK(missing(error_of(QMSE_KERNEL(not_in_mask_kernel), LaunchShape{2, 32}),
                {"lane 31 is not in its own mask", "thread (31, 0, 0)"}) == "");
  for (const int width : {0, 3, 33, 64, -1}) {
    CHECK(missing(error_of(QMSE_KERNEL(width_kernel), LaunchShape{1, 32}, width), {"not a power of two"}) ==
          "");
  }
  CHECK(missing(error_of(QMSE_KERNEL(index_kernel), LaunchShape{1, 1}, 8),
                {"index 8 into a SharedArray of 8"}) == "");
  CHECK(missing(error_of(QMSE_KERNEL(index_kernel), LaunchShape{1, 1}, -1),
                {"index -1 into a SharedArray of 8"}) == "");
  CHECK(missing(error_of(QMSE_KERNEL(dynamic_kernel), LaunchShape{1, 1}), {"no dynamic shared memory"}) ==
        "");
  CHECK(missing(error_of(QMSE_KERNEL(static_kernel<48 * 1024 + 1>), LaunchShape{1, 1}),
                {"static shared memory"}) == "");
  CHECK(missing(error_of(QMSE_KERNEL(static_kernel<40 * 1024>), LaunchShape{1, 1, 24 * 1024 + 1}),
                {"static and 24577 of dynamic"}) == "");
  Context gpu(0);
  gpu.launch(QMSE_KERNEL(static_kernel<40 * 1024>), LaunchShape{1, 1, 24 * 1024});
}

TEST_CASE("executor: launches that CUDA refuses are errors") {
  const auto refused = [](const LaunchShape& shape) { return error_of(QMSE_KERNEL(nothing_kernel), shape); };
  for (const qmse::Extent& grid :
       {qmse::Extent(0), qmse::Extent(1, 0), qmse::Extent(1, 1, 0), qmse::Extent(0x80000000u),
        qmse::Extent(1, 65536), qmse::Extent(1, 1, 65536)}) {
    CHECK(missing(refused({grid, 1}), {"a grid of (", "executor_faults_test.cpp:"}) == "");
  }
  for (const qmse::Extent& block :
       {qmse::Extent(0), qmse::Extent(1, 0), qmse::Extent(1, 1, 0), qmse::Extent(1025), qmse::Extent(1, 1025),
        qmse::Extent(1, 1, 65), qmse::Extent(512, 3)}) {
    CHECK(missing(refused({1, block}), {"a block of ("}) == "");
  }
  CHECK(missing(refused({1, 1, 64 * 1024 + 1}), {"65537 bytes of dynamic shared memory"}) == "");
  Context gpu(2);
  gpu.launch(QMSE_KERNEL(nothing_kernel), LaunchShape{{1, 1, 2}, {8, 2, 64}, 64 * 1024});
  CHECK_THROWS_WITH(gpu.launch(QMSE_KERNEL(launching_kernel), LaunchShape{1, 1}, &gpu),
                    "simt: a grid is running already; kernels cannot launch kernels");
  CHECK_THROWS_AS(qmse::grid_blocks(0, 4), qmse::ShapeError);
  CHECK_THROWS_AS(qmse::grid_blocks(std::int64_t{1} << 40, 256), qmse::ShapeError);
  CHECK(qmse::grid_blocks(std::int64_t{1} << 40, 256, 80) == 80);
  CHECK(qmse::grid_blocks(257, 256) == 2);
  CHECK(qmse::grid_blocks(std::int64_t{0x7FFFFFFF} * 256, 256) == 0x7FFFFFFF);
}

namespace {

struct CountedObject {
  int* alive;
  explicit CountedObject(int* count) : alive(count) { ++*alive; }
  ~CountedObject() { --*alive; }
};

__global__ void throwing_kernel(int* alive) {
  const CountedObject object(alive);
  if (threadIdx.x == 7) throw std::runtime_error("from thread 7");
  __syncthreads();
}

}  // namespace

TEST_CASE("executor: a failed launch leaves nothing behind") {
  for (const std::uint64_t seed : seeds()) {
    CAPTURE(seed);
    int alive = 0;
    Context gpu(seed);
    CHECK_THROWS_WITH(gpu.launch(QMSE_KERNEL(throwing_kernel), LaunchShape{5, threads}, &alive),
                      "from thread 7");
    CHECK(alive == 0);
    CHECK_THROWS_AS(gpu.launch(QMSE_KERNEL(barrier_and_shuffle_kernel), LaunchShape{1, 32}, nullptr), Error);
    CHECK_FALSE(caught(QMSE_KERNEL(read_after_write_kernel<true, 1>), shifted(1, threads)));
  }
}

namespace {

bool built_with(const char* sanitizer) {
  return (std::string(",") + QMSE_SANITIZE + ",").find(std::string(",") + sanitizer + ",") !=
         std::string::npos;
}

// What a child process that launches the kernel writes to standard error before it dies.
template <class... Parameters, class... Arguments>
std::string last_words(const qmse::Kernel<Parameters...>& kernel, const LaunchShape& shape,
                       Arguments... arguments) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    Context gpu(5);
    gpu.launch(kernel, shape, arguments...);
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char buffer[4096];
  for (ssize_t bytes = 0; (bytes = read(ends[0], buffer, sizeof buffer)) > 0;) {
    words.append(buffer, static_cast<std::size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((!WIFEXITED(status) || WEXITSTATUS(status) != 0));
  return words;
}

// One thread of one block strays.
__global__ void stray_global_kernel(float* x) {
  x[blockIdx.x * blockDim.x + threadIdx.x + (blockIdx.x == 2 && threadIdx.x == 31 ? 1 : 0)] = 1.0f;
}
__global__ void stray_dynamic_kernel() {
  dynamic_shared<float>()[threadIdx.x + (blockIdx.x == 2 && threadIdx.x == 31 ? 1 : 0)] = 1.0f;
}
__global__ void stray_static_kernel() {
  __shared__ SharedArray<float, 32> shared;
  __syncthreads();
  shared.data()[threadIdx.x + (blockIdx.x == 2 && threadIdx.x == 31 ? 1 : 0)] = 1.0f;
}
__global__ void misaligned_kernel(float* x) {
  __syncthreads();
  if (blockIdx.x == 2 && threadIdx.x == 31) *reinterpret_cast<float4*>(x + 1) = make_float4(1, 2, 3, 4);
}

}  // namespace

TEST_CASE("executor: AddressSanitizer's report names block and thread") {
  if (!built_with("address")) {
    WARN("[skipped: built without AddressSanitizer]");
    return;
  }
  std::vector<float> x(3 * 32);
  const std::string place = "block (2, 0, 0), thread (31, 0, 0), seed 5";
  CHECK(missing(last_words(QMSE_KERNEL(stray_global_kernel), LaunchShape{3, 32}, x.data()),
                {"heap-buffer-overflow", place, "simt: in kernel stray_global_kernel"}) == "");
  CHECK(missing(last_words(QMSE_KERNEL(stray_dynamic_kernel), LaunchShape{3, 32, 32 * sizeof(float)}),
                {"heap-buffer-overflow", place, "simt: in kernel stray_dynamic_kernel"}) == "");
  CHECK(missing(last_words(QMSE_KERNEL(stray_static_kernel), LaunchShape{3, 32}),
                {"heap-buffer-overflow", place, "simt: in kernel stray_static_kernel"}) == "");
}

TEST_CASE("executor: UndefinedBehaviorSanitizer's report names block and thread") {
  if (!built_with("undefined")) {
    WARN("[skipped: built without UndefinedBehaviorSanitizer]");
    return;
  }
  std::vector<float> x(16);
  CHECK(missing(last_words(QMSE_KERNEL(misaligned_kernel), LaunchShape{3, 32}, x.data()),
                {"misaligned address", "block (2, 0, 0), thread (31, 0, 0), seed 5"}) == "");
}
