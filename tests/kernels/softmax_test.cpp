#include "kernels/softmax/softmax.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr SoftmaxKind kKinds[] = {SoftmaxKind::softmax, SoftmaxKind::log_softmax};

Numbers reference(SoftmaxKind kind, std::int64_t columns, const Numbers& x) {
  return kind == SoftmaxKind::softmax ? reference_softmax(columns, x) : reference_log_softmax(columns, x);
}

template <class T>
void check_against_reference() {
  CpuContext context(2);
  for (const SoftmaxKind kind : kKinds) {
    for (const auto& [rows, columns] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 1}, {5, 2}, {33, 10}, {7, 100}, {3, 1009}, {300, 129}}) {
      CAPTURE(rows, columns, static_cast<int>(kind));
      const auto x = random_values<T>(rows * columns, 1, -8, 8), dy = random_values<T>(rows * columns, 2);
      std::vector<T> y(x.size()), dx(x.size());
      softmax_forward(context, kind, rows, columns, x.data(), y.data());
      // The shift by the maximum, up to 16, is rounded before exp: 8 units in the last place of the result.
      const double tolerance = 16 * std::numeric_limits<T>::epsilon();
      check_close(y, reference(kind, columns, to_f64(x)), tolerance,
                  kind == SoftmaxKind::softmax ? 0 : tolerance);

      softmax_backward(context, kind, rows, columns, y.data(), dy.data(), dx.data());
      if (columns < 1000) {
        check_close(
            dx, reference_softmax_backward(kind == SoftmaxKind::log_softmax, columns, to_f64(x), to_f64(dy)),
            tolerance, tolerance);
      }

      std::vector<T> in_place = x;
      softmax_forward(context, kind, rows, columns, in_place.data(), in_place.data());
      CHECK((in_place == y));
      in_place = dy;
      softmax_backward(context, kind, rows, columns, y.data(), in_place.data(), in_place.data());
      CHECK((in_place == dx));
    }
  }
}

}  // namespace

TEST_CASE("softmax: values and gradients agree with the reference, f32") { check_against_reference<float>(); }
TEST_CASE("softmax: values and gradients agree with the reference, f64") {
  check_against_reference<double>();
}

TEST_CASE("softmax: gradient agrees with central differences") {
  CpuContext context(1);
  const std::int64_t rows = 3, columns = 7;
  for (const SoftmaxKind kind : kKinds) {
    CAPTURE(static_cast<int>(kind));
    const auto x = random_values<double>(rows * columns, 3, -2, 2),
               dy = random_values<double>(rows * columns, 4);
    const auto forward = [&](const Numbers& input) {
      Numbers y(input.size());
      softmax_forward(context, kind, rows, columns, input.data(), y.data());
      return y;
    };
    const Numbers y = forward(x);
    Numbers dx(x.size());
    softmax_backward(context, kind, rows, columns, y.data(), dy.data(), dx.data());
    check_gradient(forward, x, dy, dx);
  }
}

TEST_CASE("softmax: huge values do not overflow, and a NaN takes its row alone") {
  CpuContext context(1);
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x{3e38f, 3e38f, -3e38f, 1, nan, 2, -infinity, 0, 0};
  std::vector<float> y(x.size());
  softmax_forward(context, SoftmaxKind::softmax, 3, 3, x.data(), y.data());
  CHECK(std::vector<float>(y.begin(), y.begin() + 3) == std::vector<float>{0.5f, 0.5f, 0.0f});
  for (int j = 3; j < 6; ++j) CHECK(std::isnan(y[static_cast<std::size_t>(j)]));
  CHECK(std::vector<float>(y.begin() + 6, y.end()) == std::vector<float>{0.0f, 0.5f, 0.5f});
  softmax_forward(context, SoftmaxKind::log_softmax, 3, 3, x.data(), y.data());
  CHECK(y[0] == Approx(-std::log(2.0)).epsilon(1e-6));
  CHECK(y[2] == -infinity);
}

TEST_CASE("softmax: the number of threads changes no bit") {
  const std::int64_t rows = 331, columns = 257;
  const auto x = random_values<float>(rows * columns, 5);
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    std::vector<float> y(x.size()), dx(x.size());
    softmax_forward(context, SoftmaxKind::softmax, rows, columns, x.data(), y.data());
    softmax_backward(context, SoftmaxKind::softmax, rows, columns, y.data(), x.data(), dx.data());
    y.insert(y.end(), dx.begin(), dx.end());
    if (first.empty()) first = y;
    CHECK((y == first));
  }
}
