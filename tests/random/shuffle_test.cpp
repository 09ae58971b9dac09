#include "random/shuffle.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "random/philox.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

constexpr std::uint64_t kSeed = 4242;

std::vector<std::uint32_t> shuffled(std::uint64_t seed, std::uint32_t epoch, std::int64_t n) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
  shuffled_order(seed, epoch, n, order.data());
  return order;
}

// The header's description, word by word; counts the rejected words.
std::vector<std::uint32_t> reference(std::uint64_t seed, std::uint32_t epoch, std::int64_t n, int& rejected) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0u);
  for (std::int64_t i = n - 1; i > 0; --i) {
    const std::uint64_t range = static_cast<std::uint64_t>(i) + 1;
    for (std::uint32_t attempt = 0;; ++attempt) {
      const PhiloxBlock bits =
          random_bits(seed, RandomPurpose::data_order, attempt, epoch, 0, static_cast<std::uint32_t>(i / 4));
      const std::uint64_t product = range * bits.x[i % 4];
      if (product % (std::uint64_t{1} << 32) >= (std::uint64_t{1} << 32) % range) {
        std::swap(order[static_cast<std::size_t>(i)], order[product >> 32]);
        break;
      }
      ++rejected;
    }
  }
  return order;
}

}  // namespace

TEST_CASE("shuffle: a permutation, and the documented one, at every size") {
  INFO("seed " << kSeed);
  int rejected = 0;
  for (std::int64_t n : {0, 1, 2, 3, 4, 5, 17, 1000, 60000}) {
    CAPTURE(n);
    const std::vector<std::uint32_t> order = shuffled(kSeed, 3, n);
    CHECK(order == reference(kSeed, 3, n, rejected));
    std::vector<std::uint32_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      if (sorted[i] != i) FAIL("not a permutation");
    }
  }
}

TEST_CASE("shuffle: rejected words are drawn again") {
  // About n^2 / 2^34 words of a shuffle are rejected: 2.3 of one of 200,000.
  INFO("seed " << kSeed);
  int rejected = 0;
  for (std::uint32_t epoch : {0u, 1u, 2u}) {
    CHECK(shuffled(kSeed, epoch, 200000) == reference(kSeed, epoch, 200000, rejected));
  }
  CHECK(rejected > 0);
}

TEST_CASE("shuffle: all orders of four are equally likely") {
  INFO("seed " << kSeed);
  std::map<std::vector<std::uint32_t>, int> counts;
  const int draws = 24000;
  for (std::uint32_t epoch = 0; epoch < draws; ++epoch) ++counts[shuffled(kSeed, epoch, 4)];
  REQUIRE(counts.size() == 24);
  double chi_squared = 0.0;
  for (const auto& [order, count] : counts) chi_squared += (count - 1000.0) * (count - 1000.0) / 1000.0;
  CHECK(chi_squared < 60.0);  // 23 degrees of freedom: exceeded with probability 4e-5
}

TEST_CASE("shuffle: epochs and seeds give unrelated orders") {
  INFO("seed " << kSeed);
  const std::int64_t n = 10000;
  const std::vector<std::uint32_t> base = shuffled(kSeed, 0, n);
  CHECK(shuffled(kSeed, 0, n) == base);
  for (const auto& other : {shuffled(kSeed, 1, n), shuffled(kSeed + 1, 0, n)}) {
    int same = 0;
    for (std::size_t i = 0; i < base.size(); ++i) same += other[i] == base[i];
    CHECK(same < 10);  // Poisson with mean 1: more with probability 1e-7
  }
}

TEST_CASE("shuffle: recorded order") {
  const std::vector<std::uint32_t> expected = {3, 6, 4, 5, 0, 7, 9, 8, 1, 2};
  CHECK(shuffled(1, 0, 10) == expected);
}

TEST_CASE("shuffle: refuses sizes it cannot number") {
  CHECK_THROWS_AS(shuffled_order(1, 0, -1, nullptr), ShapeError);
  CHECK_THROWS_AS(shuffled_order(1, 0, std::int64_t{1} << 32, nullptr), ShapeError);
}
