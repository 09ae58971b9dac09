#include "kernels/fill/fill.h"

#include "tests/operations/devices.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("fill: writes every element and no other") {
  Devices devices;
  for (const std::int64_t n : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 1023, 1024, 1025, 4099, 100001}) {
    for (const std::size_t offset : {0u, 1u, 2u, 3u}) {  // from an aligned address
      CAPTURE(n, offset);
      devices.each(n, [&](auto& device) {
        using T = typename std::decay_t<decltype(device)>::Number;
        const T untouched = -3;
        std::vector<T> expected(offset + static_cast<std::size_t>(n) + 2, untouched);
        const auto x = device.array(expected);
        fill(device.context, n, T(2.5), x.data() + offset);
        std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(offset), n, T(2.5));
        CHECK((x.values() == expected));
        const auto whole = device.template unwritten<T>(n);  // ends where its memory ends
        fill(device.context, n, T(1), whole.data());
        CHECK((whole.values() == std::vector<T>(static_cast<std::size_t>(n), T(1))));
      });
    }
  }
}
