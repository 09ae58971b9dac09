// The few statistics that a comparison of training runs needs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace qmse {

double mean(std::span<const double> values);
// Of the sample (divided by n - 1); nothing for fewer than two values.
std::optional<double> standard_deviation(std::span<const double> values);

// A mean difference and the interval that holds the true one with `confidence`.
struct Interval {
  double low = 0, high = 0;
};
// Student's t interval of the mean: for differences of pairs, the paired one. It takes the values for
// independent and normal. Nothing for fewer than two values.
std::optional<Interval> student_t_interval(std::span<const double> values, double confidence = 0.95);

}  // namespace qmse
