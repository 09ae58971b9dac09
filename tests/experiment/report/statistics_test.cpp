#include "experiment/report/statistics.h"

#include <cmath>
#include <vector>

#include "kernels/core/error.h"
#include "tests/support/catch.h"

using namespace qmse;

TEST_CASE("statistics: mean, deviation and Student's interval of known examples") {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  CHECK(mean(values) == 5);
  CHECK(*standard_deviation(values) == Approx(std::sqrt(32.0 / 7)).epsilon(1e-14));
  // Two-sided 95 % quantiles of Student's t from printed tables: 12.7062 (1 degree), 2.3646 (7 degrees).
  const Interval eight = *student_t_interval(values);
  CHECK((eight.high - eight.low) / 2 == Approx(2.3646 * std::sqrt(32.0 / 7 / 8)).epsilon(1e-4));
  CHECK((eight.high + eight.low) / 2 == Approx(5));
  const Interval two = *student_t_interval(std::vector<double>{1, 3});
  CHECK(two.high == Approx(2 + 12.7062).epsilon(1e-5));
  CHECK(two.low == Approx(2 - 12.7062).epsilon(1e-5));
  // 99 %, 4 degrees: 4.6041.
  const Interval five = *student_t_interval(std::vector<double>{1, 2, 3, 4, 5}, 0.99);
  CHECK(five.high == Approx(3 + 4.6041 * std::sqrt(2.5 / 5)).epsilon(1e-4));
}

TEST_CASE("statistics: one value has no deviation and no interval, none has no mean") {
  CHECK_FALSE(standard_deviation(std::vector<double>{1}).has_value());
  CHECK_FALSE(student_t_interval(std::vector<double>{1}).has_value());
  CHECK_THROWS_AS(mean({}), ShapeError);
  const Interval same = *student_t_interval(std::vector<double>{0.5, 0.5, 0.5});
  CHECK(same.low == 0.5);
  CHECK(same.high == 0.5);
}
