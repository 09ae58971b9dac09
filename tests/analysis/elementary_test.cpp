#include "analysis/mlp/double4.h"

#include <cmath>
#include <limits>

#include "random/random_stream.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

// In units of the last place of what is expected, which the C library knows in twice as many digits.
double error_in_ulp(double value, long double expected) {
  const double near = std::abs(static_cast<double>(expected));
  const double ulp = std::nextafter(near, INFINITY) - near;
  return static_cast<double>(std::abs(static_cast<long double>(value) - expected) /
                             static_cast<long double>(ulp));
}

}  // namespace

TEST_CASE(
    "elementary: tanh, the logistic function and softplus are within 3 ulp, small and large arguments "
    "alike") {
  RandomStream random(7, RandomPurpose::test);
  double tanh_error = 0, logistic_error = 0, softplus_error = 0, exponential_error = 0;
  for (int i = 0; i < 200000; ++i) {
    const double x = random.sign() * std::pow(10.0, random.uniform(-9, 1.7));
    const Double4 all = simd_set(x);
    const long double exact = x;
    tanh_error = std::max(tanh_error, error_in_ulp(hyperbolic_tangent(all)[i % 4], std::tanh(exact)));
    logistic_error = std::max(logistic_error, error_in_ulp(logistic(all)[i % 4], 1 / (1 + std::exp(-exact))));
    const long double plus = exact > 0 ? exact + std::log1p(std::exp(-exact)) : std::log1p(std::exp(exact));
    softplus_error = std::max(softplus_error, error_in_ulp(softplus(all)[i % 4], plus));
    exponential_error =
        std::max(exponential_error,
                 error_in_ulp(exponential_of_negative(-absolute(all))[i % 4], std::exp(-std::abs(exact))));
  }
  CAPTURE(tanh_error, logistic_error, softplus_error, exponential_error);
  CHECK(tanh_error < 3);
  CHECK(logistic_error < 3);
  CHECK(softplus_error < 3);
  CHECK(exponential_error < 3);
}

TEST_CASE("elementary: tanh is odd bit for bit, a NaN stays one, the ends are reached") {
  RandomStream random(8, RandomPurpose::test);
  for (int i = 0; i < 1000; ++i) {
    const double x = random.normal() * 3;
    REQUIRE(hyperbolic_tangent(simd_set(-x))[0] == -hyperbolic_tangent(simd_set(x))[0]);
  }
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = INFINITY;
  CHECK(std::isnan(hyperbolic_tangent(simd_set(nan))[1]));
  CHECK(std::isnan(logistic(simd_set(nan))[1]));
  CHECK(std::isnan(softplus(simd_set(nan))[1]));
  CHECK(hyperbolic_tangent(simd_set(infinity))[2] == 1);
  CHECK(hyperbolic_tangent(simd_set(0.0))[2] == 0);
  CHECK(logistic(simd_set(infinity))[2] == 1);
  CHECK(softplus(simd_set(800.0))[3] == 800);
  CHECK(softplus(simd_set(-800.0))[3] < 1e-300);
}
