#include "kernels/linear/sparse_gemm.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Floats = std::vector<float>;

struct Lists {
  std::vector<float> values;
  std::vector<std::int32_t> columns, counts;
  explicit Lists(std::int64_t rows)
      : values(static_cast<std::size_t>(rows * kSparseDepth)),
        columns(values.size()),
        counts(static_cast<std::size_t>(rows)) {}
  SparseBlock block() { return {values.data(), columns.data(), counts.data()}; }
};

// About `share` of the numbers is left.
Floats thinned(std::int64_t n, std::uint64_t seed, double share) {
  Floats values = random_values<float>(n, seed);
  const Floats draws = random_values<float>(n, seed + 1, 0, 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (draws[i] >= share) values[i] = 0;
  }
  return values;
}

}  // namespace

TEST_CASE("sparse gemm: a row's list is what is not zero in it, in order") {
  for (const InstructionSet set : instruction_sets()) {
    const SparseGemm& gemm = *QMSE_FOR_ISA(set, sparse_gemm);
    for (const std::int64_t columns : {1, 7, 8, 15, 16, 17, 63, 64}) {
      for (const double share : {0.0, 0.3, 1.0}) {
        const std::int64_t rows = 5, a_row = columns + 3;
        Floats a = thinned(rows * a_row, 3, share);
        a[0] = std::numeric_limits<float>::quiet_NaN();
        a[static_cast<std::size_t>(a_row)] = -0.0f;
        Lists lists(rows);
        gemm.list(rows, columns, a.data(), a_row, lists.block());
        for (std::int64_t i = 0; i < rows; ++i) {
          CAPTURE(name(set), columns, share, i);
          Floats values, found;
          std::vector<std::int32_t> places, found_places;
          for (std::int64_t k = 0; k < columns; ++k) {
            const float value = a[static_cast<std::size_t>(i * a_row + k)];
            if (value == 0) continue;
            values.push_back(value);
            places.push_back(static_cast<std::int32_t>(k));
          }
          for (std::int64_t e = 0; e < lists.counts[static_cast<std::size_t>(i)]; ++e) {
            found.push_back(lists.values[static_cast<std::size_t>(i * kSparseDepth + e)]);
            found_places.push_back(lists.columns[static_cast<std::size_t>(i * kSparseDepth + e)]);
          }
          CHECK(same_bits(found, values));
          CHECK(found_places == places);
        }
      }
    }
  }
}

TEST_CASE("sparse gemm: the bits of the dense product") {
  for (const InstructionSet set : instruction_sets()) {
    const SparseGemm& gemm = *QMSE_FOR_ISA(set, sparse_gemm);
    std::vector<float> room(static_cast<std::size_t>(kSparseDepth * gemm.width) + 16);
    float* panel = room.data();
    while (reinterpret_cast<std::uintptr_t>(panel) % 64 != 0) ++panel;
    for (const std::int64_t rows : {1, 6, 13}) {
      for (const std::int64_t depth : {1, 9, 63, 64}) {
        for (std::int64_t columns = 1; columns <= gemm.width; ++columns) {
          if (columns > 2 && (columns + 1) % (gemm.width / 4) > 2) continue;  // around whole panels
          for (const bool transposed : {false, true}) {
            for (const bool add : {false, true}) {
              CAPTURE(name(set), rows, depth, columns, transposed, add);
              const Floats a = thinned(rows * depth, 5, 0.4), b = random_values<float>(depth * columns, 7),
                           c0 = random_values<float>(rows * (columns + 3), 8);
              const MatrixView<float> B{b.data(), transposed ? 1 : columns, transposed ? depth : 1};
              Lists lists(rows);
              gemm.list(rows, depth, a.data(), depth, lists.block());
              Floats c = c0, expected = c0;
              gemm.multiply(rows, columns, depth, lists.block(), B, panel, c.data(), columns + 3, add);
              baseline::gemm<float>(rows, columns, depth, {a.data(), depth, 1}, B, expected.data(),
                                    columns + 3, add);
              REQUIRE(same_bits(c, expected));
            }
          }
        }
      }
    }
  }
}
