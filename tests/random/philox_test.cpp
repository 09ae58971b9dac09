#include "random/philox.h"

#include <cstdint>
#include <set>

#include "tests/support/catch.h"

using namespace qmse;

namespace {

void check_block(const PhiloxBlock& actual, const PhiloxBlock& expected) {
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    CHECK(actual.x[i] == expected.x[i]);
  }
}

}  // namespace

// kat_vectors of the Random123 distribution, lines "philox4x32 10".
TEST_CASE("philox: gives the published known answers") {
  check_block(philox4x32_10(PhiloxBlock{{0, 0, 0, 0}}, 0),
              PhiloxBlock{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check_block(
      philox4x32_10(PhiloxBlock{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffffffffffff),
      PhiloxBlock{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_block(
      philox4x32_10(PhiloxBlock{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822),
      PhiloxBlock{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("philox: the counter's layout is (block, sample, step, purpose and attempt)") {
  const std::uint64_t seed = 0x0123456789abcdef;
  check_block(random_bits(seed, RandomPurpose::direction, 5, 0x11, 0x22, 0x33),
              philox4x32_10(PhiloxBlock{{0x33, 0x22, 0x11, 0x00000503}}, seed));
  check_block(random_bits(seed, RandomPurpose::test, 0, 1, 2, 3),
              philox4x32_10(PhiloxBlock{{3, 2, 1, 0x000000ff}}, seed));
}

TEST_CASE("philox: every part of the counter and the seed changes the bits") {
  std::set<std::uint32_t> first_words;
  for (std::uint64_t seed : {std::uint64_t{1}, std::uint64_t{1} << 32}) {
    for (auto purpose :
         {RandomPurpose::initial_weights, RandomPurpose::data_order, RandomPurpose::direction}) {
      for (std::uint32_t attempt : {0u, 1u}) {
        for (std::uint32_t step : {0u, 1u}) {
          for (std::uint32_t sample : {0u, 1u}) {
            for (std::uint32_t block : {0u, 1u}) {
              first_words.insert(random_bits(seed, purpose, attempt, step, sample, block).x[0]);
            }
          }
        }
      }
    }
  }
  CHECK(first_words.size() == 2 * 3 * 16);
}

TEST_CASE("philox: uniform numbers are the upper 24 bits") {
  CHECK(uniform_from_bits(0) == 0.0f);
  CHECK(uniform_from_bits(0xff) == 0.0f);
  CHECK(uniform_from_bits(0x100) == 0x1p-24f);
  CHECK(uniform_from_bits(0x80000000) == 0.5f);
  CHECK(uniform_from_bits(0xffffffff) == 1.0f - 0x1p-24f);
}
