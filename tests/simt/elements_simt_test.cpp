#include <cstdint>
#include <vector>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "tests/support/catch.h"

using namespace qmse;
using namespace qmse::device;

TEST_CASE("elements: division in 32 and in 64 bits") {
  const std::int64_t large = (std::int64_t{1} << 32) + 7;
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{12345},
                               std::int64_t{0xFFFFFFFF}, large, large * 1000 + 3}) {
    for (const std::int64_t d :
         {std::int64_t{1}, std::int64_t{3}, std::int64_t{784}, std::int64_t{0xFFFFFFFF}, large}) {
      CAPTURE(n, d);
      const Quotient result = divide(n, d);
      CHECK(result.quotient == n / d);
      CHECK(result.remainder == n % d);
    }
  }
}

TEST_CASE("elements: a walk passes channel after channel and begins again") {
  const std::int64_t channels = 3, inner = 5;
  for (std::int64_t begin = 0; begin < 2 * channels * inner; ++begin) {
    ChannelWalk walk(begin, channels, inner);
    for (std::int64_t i = begin; i < begin + 20; ++i) {
      CAPTURE(begin, i);
      CHECK(walk.channel() == i / inner % channels);
      walk.advance();
    }
  }
}

// Arrays of more than 2^32 elements fit no test, their indices do.
TEST_CASE("elements: channels and grids of arrays with more than 2^32 elements") {
  const std::int64_t large = (std::int64_t{1} << 33) + 4, inner = (std::int64_t{1} << 32) + 3;
  ChannelWalk walk(large, 3, 5);
  for (std::int64_t i = large; i < large + 20; ++i) {
    CHECK(walk.channel() == i / 5 % 3);
    walk.advance();
  }
  ChannelWalk across(2 * inner - 1, 3, inner);
  CHECK(across.channel() == 1);
  across.advance();
  CHECK(across.channel() == 2);
  CHECK(grid_blocks(large, 1024) == (large + 1023) / 1024);
  CHECK(grid_blocks(std::int64_t{0x7FFFFFFF} * 256, 256) == 0x7FFFFFFF);
  CHECK_THROWS_AS(grid_blocks(std::int64_t{0x7FFFFFFF} * 256 + 1, 256), ShapeError);
}
