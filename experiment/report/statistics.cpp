#include "experiment/report/statistics.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>

#include "kernels/core/error.h"

namespace qmse {

double mean(std::span<const double> values) {
  if (values.empty()) throw ShapeError("mean of no values");
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> standard_deviation(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const double center = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - center) * (value - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

std::optional<Interval> student_t_interval(std::span<const double> values, double confidence) {
  const std::optional<double> deviation = standard_deviation(values);
  if (!deviation) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const boost::math::students_t distribution(count - 1);
  const double reach =
      boost::math::quantile(distribution, 0.5 + confidence / 2) * *deviation / std::sqrt(count);
  const double center = mean(values);
  return Interval{center - reach, center + reach};
}

}  // namespace qmse
