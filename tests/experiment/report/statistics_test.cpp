#include "experiment/report/statistics.h"

#include <cmath>
#include <vector>

#include "base/error.h"
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

TEST_CASE("statistics: p of Student's t at tabulated quantiles") {
  // Nine degrees of freedom: 2.2622 is the two-sided 5 % point, 3.2498 the 1 % point.
  for (const auto& [t, p] : {std::pair{2.2622, 0.05}, {3.2498, 0.01}, {-2.2622, 0.05}}) {
    std::vector<double> values = {-3, -2, -2, -1, 0, 0, 1, 2, 2, 3};
    const double center = t * *standard_deviation(values) / std::sqrt(10.0);
    for (double& value : values) value += center;
    CHECK(*student_t_p_value(values) == Approx(p).epsilon(1e-4));
  }
  CHECK_FALSE(student_t_p_value(std::vector<double>{1}).has_value());
  CHECK_FALSE(student_t_p_value(std::vector<double>{2, 2, 2}).has_value());
}

TEST_CASE("statistics: Holm's correction of a worked example") {
  // Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling.
  const std::vector<double> corrected = holm_corrected(std::vector<double>{0.01, 0.04, 0.03, 0.005});
  const double expected[] = {0.03, 0.06, 0.06, 0.02};
  for (std::size_t i = 0; i < 4; ++i) CHECK(corrected[i] == Approx(expected[i]).epsilon(1e-12));
  CHECK(holm_corrected(std::vector<double>{0.7, 0.8}) == std::vector<double>{1, 1});
  CHECK(holm_corrected({}).empty());
}

TEST_CASE("statistics: quantiles interpolate between order statistics") {
  const std::vector<double> values = {4, 1, 3, 2};
  CHECK(median(values) == 2.5);
  CHECK(quantile(values, 0) == 1);
  CHECK(quantile(values, 1) == 4);
  CHECK(quantile(values, 0.25) == 1.75);
  CHECK_THROWS_AS(median({}), ShapeError);
}

TEST_CASE("statistics: Clopper and Pearson's interval of known examples") {
  // 0 of n: the upper end is 1 - 0.025^(1/n).
  CHECK(clopper_pearson(0, 50).low == 0);
  CHECK(clopper_pearson(0, 50).high == Approx(1 - std::pow(0.025, 1.0 / 50)).epsilon(1e-10));
  CHECK(clopper_pearson(50, 50).low == Approx(std::pow(0.025, 1.0 / 50)).epsilon(1e-10));
  CHECK(clopper_pearson(50, 50).high == 1);
  // From printed tables: 5 of 10, (0.1871, 0.8129).
  CHECK(clopper_pearson(5, 10).low == Approx(0.1871).epsilon(1e-3));
  CHECK(clopper_pearson(5, 10).high == Approx(0.8129).epsilon(1e-3));
  CHECK_THROWS_AS(clopper_pearson(0, 0), ShapeError);
}

TEST_CASE("statistics: the bootstrap's interval of a mean is as wide as the normal one, and repeats") {
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) values.push_back(std::sin(12.9898 * i) * 3 + 1);
  const auto of_mean = [&](std::span<const std::int64_t> chosen) {
    double sum = 0;
    for (const std::int64_t i : chosen) sum += values[static_cast<std::size_t>(i)];
    return sum / static_cast<double>(chosen.size());
  };
  const Interval interval = *bootstrap_interval(200, of_mean);
  const double reach = 1.96 * *standard_deviation(values) / std::sqrt(200.0);
  CHECK((interval.high - interval.low) / 2 == Approx(reach).epsilon(0.1));  // 2,000 resamples: a few per cent
  CHECK((interval.high + interval.low) / 2 == Approx(mean(values)).margin(0.1 * reach));
  CHECK(bootstrap_interval(200, of_mean)->low == interval.low);
  CHECK(bootstrap_interval(200, of_mean, 1)->low != interval.low);
  CHECK_FALSE(bootstrap_interval(1, of_mean).has_value());
  CHECK_FALSE(bootstrap_interval(5, [](auto) { return NAN; }).has_value());
}

TEST_CASE("statistics: slope and rank correlation of known examples") {
  const std::vector<double> x = {1, 2, 3, 4}, y = {2.1, 3.9, 6.2, 7.8};
  CHECK(least_squares_slope(x, y) == Approx(1.94).epsilon(1e-12));
  CHECK_THROWS_AS(least_squares_slope(std::vector<double>{1, 1}, std::vector<double>{1, 2}), ShapeError);
  CHECK(*rank_correlation(x, y) == 1);
  CHECK(*rank_correlation(x, std::vector<double>{9, 1, 0, -5}) == -1);
  // Ties have their mean rank: ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3.
  CHECK(*rank_correlation(std::vector<double>{1, 2, 2, 5}, x) ==
        Approx(4.5 / std::sqrt(4.5 * 5)).epsilon(1e-12));
  CHECK_FALSE(rank_correlation(x, std::vector<double>{1, 1, 1, 1}).has_value());
}
