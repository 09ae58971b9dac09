#include "kernels/reduce/reduce.h"

#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Around a chunk of the norm and around a range of work.
constexpr std::int64_t kSizes[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 16383, 16384, 16385, 100003};

template <class T>
void check_sums() {
  CpuContext context(3);
  for (const std::int64_t n : kSizes) {
    CAPTURE(n);
    const auto x = random_values<T>(n, 1, -100, 100), y = random_values<T>(n, 2);
    std::vector<T> sum = y, expected = y;
    add(context, n, x.data(), sum.data());
    for (std::size_t i = 0; i < x.size(); ++i) expected[i] = y[i] + x[i];
    CHECK((sum == expected));
  }
}

template <class T>
void check_first_non_finite() {
  using Limits = std::numeric_limits<T>;
  for (const int threads : {1, 3}) {
    CpuContext context(threads);
    for (const std::int64_t n : kSizes) {
      std::vector<T> x(static_cast<std::size_t>(n), Limits::max());  // the largest numbers are finite
      std::int64_t index = -5;
      first_non_finite(context, n, x.data(), &index);
      CHECK(index == n);
      for (const std::int64_t at : {std::int64_t{0}, std::int64_t{1}, n / 2, n - 2, n - 1}) {
        if (at < 0 || at >= n) continue;
        for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
          CAPTURE(threads, n, at, bad);
          std::vector<T> damaged = x;
          damaged[static_cast<std::size_t>(at)] = bad;
          damaged.back() = bad;  // not the first
          first_non_finite(context, n, damaged.data(), &index);
          CHECK(index == at);
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("reduce: sums agree with the reference, f32") { check_sums<float>(); }
TEST_CASE("reduce: sums agree with the reference, f64") { check_sums<double>(); }
TEST_CASE("reduce: the first non-finite element is found, f32") { check_first_non_finite<float>(); }
TEST_CASE("reduce: the first non-finite element is found, f64") { check_first_non_finite<double>(); }
