#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/reduce/reduce.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::int64_t kSizes[] = {0, 1, 3, 4, 5, 1023, 1024, 1025, 4095, 4096, 4097, 9001};

__global__ void repeated_sums_kernel(int rounds, long long* results) {
  __shared__ SharedArray<long long, kMaxWarps> scratch;
  for (int round = 0; round < rounds; ++round) {
    const long long sum = block_reduce<long long>(threadIdx.x + round, Sum(), scratch);
    if (threadIdx.x == 37u * round % blockDim.x) results[round] = sum;
  }
}

}  // namespace

TEST_CASE("reduce: a block reduces many times over with one scratch, and every thread has the sum") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const unsigned threads : {32u, 96u, 1024u}) {
      CAPTURE(seed, threads);
      std::vector<long long> results(40, -1), expected;
      for (long long round = 0; round < 40; ++round) {
        expected.push_back(threads * (threads - 1) / 2 + threads * round);
      }
      simt::Context gpu(seed);
      gpu.launch(QMSE_KERNEL(repeated_sums_kernel), LaunchShape{1, threads}, 40, results.data());
      CHECK(results == expected);
    }
  }
}

TEST_CASE("reduce: the add kernel adds every element") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const std::int64_t n : kSizes) {
      for (const std::size_t offset : {0u, 1u}) {
        CAPTURE(seed, n, offset);
        const auto x = random_values<float>(n, 2), y = random_values<float>(n, 3);
        Placed sum(y, offset);
        std::vector<float> expected = y;
        simt::Context gpu(seed);
        add(gpu, n, x.data(), sum.data());
        for (std::size_t i = 0; i < y.size(); ++i) expected[i] = y[i] + x[i];
        CHECK((sum.values() == expected));
      }
    }
  }
}

TEST_CASE("reduce: the kernel finds the first non-finite element") {
  using Limits = std::numeric_limits<float>;
  for (const std::uint64_t seed : simt::seeds()) {
    for (const std::int64_t n : {0, 1, 6, 1029, 4000}) {
      std::vector<float> x(static_cast<std::size_t>(n), Limits::max());
      simt::Context gpu(seed);
      std::int64_t index = -5;
      first_non_finite(gpu, n, x.data(), &index);
      CHECK(index == n);
      for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
        if (at < 0 || at >= n) continue;
        for (const float bad : {Limits::quiet_NaN(), -Limits::infinity()}) {
          CAPTURE(seed, n, at, bad);
          std::vector<float> damaged = x;
          for (std::int64_t i = at; i < n; i += 3) damaged[static_cast<std::size_t>(i)] = bad;
          first_non_finite(gpu, n, damaged.data(), &index);
          CHECK(index == at);
        }
      }
    }
  }
}
