#include "kernels/fill/fill.h"

#include <cstdint>
#include <vector>

#include "tests/support/catch.h"

namespace {

template <class T>
void check_fill(T value) {
  for (const int threads : {1, 3}) {
    qmse::CpuContext context(threads);
    for (const std::int64_t n : {0, 1, 7, 65535, 65536, 65537, 200001}) {  // around the size of one task
      CAPTURE(threads, n);
      std::vector<T> x(static_cast<std::size_t>(n) + 2, T{-3});
      qmse::fill(context, n, value, x.data() + 1);
      std::vector<T> expected(x.size(), value);
      expected.front() = expected.back() = T{-3};
      CHECK((x == expected));
    }
  }
}

}  // namespace

TEST_CASE("fill: writes every element and no other, f32") { check_fill(0.1f); }
TEST_CASE("fill: writes every element and no other, f64") { check_fill(0.1); }
