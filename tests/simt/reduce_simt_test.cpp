#include <cstdint>
#include <vector>

#include "kernels/gpu/reduce.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::device;

namespace {

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
