#include "kernels/reduce/reduce.h"

#include <limits>
#include <vector>

#include "tests/operations/devices.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Around a GPU's group and block, and around the CPU's range of work.
constexpr std::int64_t kSizes[] = {0,    1,    3,    4,    5,    15,    16,    17,    1023,  1024,
                                   1025, 4095, 4096, 4097, 9001, 16383, 16384, 16385, 100003};

}  // namespace

TEST_CASE("reduce: add adds every element") {
  Devices devices;
  for (const std::int64_t n : kSizes) {
    for (const std::size_t offset : {0u, 1u}) {
      CAPTURE(n, offset);
      devices.each(n, [&](auto& device) {
        using T = typename std::decay_t<decltype(device)>::Number;
        const auto x = random_values<T>(n, 1, -100, 100), y = random_values<T>(n, 2);
        const auto x_there = device.array(x, offset), sum = device.array(y, offset);
        add(device.context, n, x_there.data(), sum.data());
        std::vector<T> expected = y;
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] = y[i] + x[i];
        CHECK((sum.values() == expected));
      });
    }
  }
}

TEST_CASE("reduce: the first non-finite element is found") {
  Devices devices;
  for (const std::int64_t n : kSizes) {
    for (const std::size_t offset : {0u, 1u}) {
      devices.each(n, [&](auto& device) {
        using T = typename std::decay_t<decltype(device)>::Number;
        using Limits = std::numeric_limits<T>;
        const std::vector<T> x(static_cast<std::size_t>(n), Limits::max());  // the largest are finite
        const auto found_in = [&](const std::vector<T>& values) {
          const auto there = device.array(values, offset);
          const auto index = device.number(std::int64_t{-5});
          first_non_finite(device.context, n, there.data(), index.data());
          return index.values()[0];
        };
        CHECK(found_in(x) == n);
        for (const std::int64_t at : {std::int64_t{0}, std::int64_t{1}, n / 2, n - 2, n - 1}) {
          if (at < 0 || at >= n) continue;
          for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
            CAPTURE(n, offset, at, bad);
            std::vector<T> damaged = x;
            for (std::int64_t i = at; i < n; i += 3) damaged[static_cast<std::size_t>(i)] = bad;
            damaged.back() = bad;  // not the first
            CHECK(found_in(damaged) == at);
          }
        }
      });
    }
  }
}

TEST_CASE("reduce: the number of threads changes nothing") {
  const auto x = random_values<float>(100003, 1);
  for (const int threads : {1, 3}) {
    CpuContext context(threads);
    std::vector<float> damaged = x, sum = x;
    damaged[70001] = damaged[70002] = std::numeric_limits<float>::infinity();
    std::int64_t index = -5;
    first_non_finite(context, 100003, damaged.data(), &index);
    CHECK(index == 70001);
    add(context, 100003, x.data(), sum.data());
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(sum[i] == x[i] + x[i]);
  }
}
