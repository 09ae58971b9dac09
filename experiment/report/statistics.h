// The few statistics that comparisons of runs, and experiments on many starts, need.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

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

// Of the hypothesis that the mean is 0: the two-sided p of Student's t. Nothing for fewer than two values, or
// where all are equal.
std::optional<double> student_t_p_value(std::span<const double> values);

// The p values of a family of hypotheses as Holm corrects them (1979), in their order: each can be compared
// with the level of the whole family.
std::vector<double> holm_corrected(std::span<const double> p_values);

// Between the order statistics around it, linearly; 0.5 is the median. ShapeError for no values.
double quantile(std::span<const double> values, double share);
inline double median(std::span<const double> values) { return quantile(values, 0.5); }

// Percentile bootstrap: what `statistic` says of `count` things drawn with replacement from as many, given by
// their indices, 2,000 times with random numbers of `seed`; values that are not finite are left out. Nothing
// for fewer than two things, or where no value is finite.
std::optional<Interval> bootstrap_interval(
    std::int64_t count, const std::function<double(std::span<const std::int64_t>)>& statistic,
    std::uint64_t seed = 0, double confidence = 0.95);

// The exact (Clopper-Pearson) interval of a probability of which `successes` of `count` trials were seen;
// count >= 1.
Interval clopper_pearson(std::int64_t successes, std::int64_t count, double confidence = 0.95);

// Of y on x, by least squares; at least two different x, else ShapeError.
double least_squares_slope(std::span<const double> x, std::span<const double> y);

// Spearman's: Pearson's of the ranks, ties having their mean rank. Nothing where all x or all y are equal.
std::optional<double> rank_correlation(std::span<const double> x, std::span<const double> y);

}  // namespace qmse
