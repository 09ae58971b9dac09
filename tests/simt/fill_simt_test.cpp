#include <cstdint>
#include <vector>

#include "kernels/fill/fill.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

TEST_CASE("fill: the kernel writes every element and no other") {
  constexpr float untouched = -3.0f;
  for (const std::uint64_t seed : qmse::simt::seeds()) {
    for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 1023, 1024, 1025, 4099}) {
      for (int offset = 0; offset < 4;
           ++offset) {  // from a 16-byte boundary, which the heap's blocks begin at
        CAPTURE(seed, n, offset);
        std::vector<float> x(static_cast<std::size_t>(offset + n + 2), untouched);
        qmse::simt::Launcher launcher(seed);
        qmse::launch_fill(launcher, n, 2.5f, x.data() + offset);
        std::vector<float> expected(x.size(), untouched);
        for (std::int64_t i = 0; i < n; ++i) expected[static_cast<std::size_t>(offset + i)] = 2.5f;
        CHECK(x == expected);
      }
    }
  }
}

TEST_CASE("fill: the kernel keeps within an array that ends its memory") {
  for (const std::size_t n : {std::size_t{1}, std::size_t{6}, std::size_t{1023}}) {
    std::vector<float> x(n);  // a heap block of its own: AddressSanitizer sees both ends
    qmse::simt::Launcher launcher(2);
    qmse::launch_fill(launcher, static_cast<std::int64_t>(n), 1.0f, x.data());
    CHECK(x == std::vector<float>(n, 1.0f));
  }
}
