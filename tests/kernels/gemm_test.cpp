#include "kernels/linear/gemm.h"

#include <cstdint>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Every combination of transposed operands, over sizes around the tile, adding to C or not.
template <class T>
void check_gemm(InstructionSet set) {
  std::uint64_t seed = 1;
  for (const std::int64_t M : {1, 5, 6, 7, 13, 25}) {
    for (const std::int64_t N : {1, 7, 8, 9, 16, 17, 35, 64}) {
      for (const std::int64_t K : {1, 8, 255, 256, 259}) {
        const auto a = random_integers<T>(M * K, ++seed), b = random_integers<T>(K * N, ++seed),
                   c0 = random_integers<T>(M * (N + 3), ++seed);
        for (const bool a_transposed : {false, true}) {
          for (const bool b_transposed : {false, true}) {
            for (const bool add : {false, true}) {
              const MatrixView<T> A{a.data(), a_transposed ? 1 : K, a_transposed ? M : 1};
              const MatrixView<T> B{b.data(), b_transposed ? 1 : N, b_transposed ? K : 1};
              std::vector<T> c = c0, expected = c0;
              for (std::int64_t m = 0; m < M; ++m) {
                for (std::int64_t n = 0; n < N; ++n) {
                  T sum = add ? c0[m * (N + 3) + n] : T(0);
                  for (std::int64_t k = 0; k < K; ++k)
                    sum +=
                        a[m * A.row_stride + k * A.column_stride] * b[k * B.row_stride + n * B.column_stride];
                  expected[m * (N + 3) + n] = sum;
                }
              }
              QMSE_FOR_ISA(set, gemm<T>)(M, N, K, A, B, c.data(), N + 3, add);
              CAPTURE(name(set), M, N, K, a_transposed, b_transposed, add, seed);
              REQUIRE((c == expected));
            }
          }
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("gemm: f32 equals the definition on whole numbers") {
  for (const InstructionSet set : instruction_sets()) check_gemm<float>(set);
}
TEST_CASE("gemm: f64 equals the definition on whole numbers") {
  for (const InstructionSet set : instruction_sets()) check_gemm<double>(set);
}

TEST_CASE("gemm: an element's bits depend neither on the instruction set nor on its neighbours") {
  const std::int64_t M = 31, N = 71, K = 600;
  const auto a = random_values<float>(M * K, 1), b = random_values<float>(K * N, 2);
  std::vector<float> whole(static_cast<std::size_t>(M * N));
  baseline::gemm<float>(M, N, K, {a.data(), K, 1}, {b.data(), N, 1}, whole.data(), N, false);
  for (const InstructionSet set : instruction_sets()) {
    CAPTURE(name(set));
    const auto gemm = QMSE_FOR_ISA(set, gemm<float>);
    std::vector<float> c(whole.size());
    gemm(M, N, K, {a.data(), K, 1}, {b.data(), N, 1}, c.data(), N, false);
    CHECK(same_bits(c, whole));
    for (const std::int64_t n : {0, 40, 70}) {
      float alone = 0;
      gemm(1, 1, K, {a.data() + 30 * K, K, 1}, {b.data() + n, N, 1}, &alone, 1, false);
      CHECK(alone == whole[static_cast<std::size_t>(30 * N + n)]);
    }
  }
}
