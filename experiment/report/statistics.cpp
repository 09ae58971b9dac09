#include "experiment/report/statistics.h"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "random/philox.h"

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

std::optional<double> student_t_p_value(std::span<const double> values) {
  const std::optional<double> deviation = standard_deviation(values);
  if (!deviation || !(*deviation > 0) || !std::isfinite(*deviation)) return std::nullopt;
  const auto count = static_cast<double>(values.size());
  const double t = mean(values) / (*deviation / std::sqrt(count));
  const boost::math::students_t distribution(count - 1);
  return 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(t)));
}

std::vector<double> holm_corrected(std::span<const double> p_values) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> corrected(p_values.size());
  double most = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    most = std::max(most, p_values[order[rank]] * static_cast<double>(order.size() - rank));
    corrected[order[rank]] = std::min(most, 1.0);
  }
  return corrected;
}

double quantile(std::span<const double> values, double share) {
  if (values.empty()) throw ShapeError("quantile of no values");
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  if (sorted[below] == sorted[above]) return sorted[below];
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::optional<Interval> bootstrap_interval(
    std::int64_t count, const std::function<double(std::span<const std::int64_t>)>& statistic,
    std::uint64_t seed, double confidence) {
  constexpr std::uint32_t kResamples = 2000;
  if (count < 2) return std::nullopt;
  std::vector<double> values;
  std::vector<std::int64_t> drawn(static_cast<std::size_t>(count));
  for (std::uint32_t resample = 0; resample < kResamples; ++resample) {
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      const PhiloxBlock bits =
          random_bits(seed, RandomPurpose::resampling, 0, resample, 0, static_cast<std::uint32_t>(i));
      const std::uint64_t wide = (std::uint64_t{bits.x[0]} << 32) | bits.x[1];
      drawn[i] = static_cast<std::int64_t>(wide % static_cast<std::uint64_t>(count));
    }
    const double value = statistic(drawn);
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) return std::nullopt;
  return Interval{quantile(values, 0.5 - confidence / 2), quantile(values, 0.5 + confidence / 2)};
}

Interval clopper_pearson(std::int64_t successes, std::int64_t count, double confidence) {
  if (count < 1 || successes < 0 || successes > count) throw ShapeError("a share needs trials");
  using Beta = boost::math::beta_distribution<double>;
  const auto k = static_cast<double>(successes), n = static_cast<double>(count);
  const double tail = 0.5 - confidence / 2;
  return {successes == 0 ? 0.0 : boost::math::quantile(Beta(k, n - k + 1), tail),
          successes == count ? 1.0 : boost::math::quantile(Beta(k + 1, n - k), 1 - tail)};
}

double least_squares_slope(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size() || x.size() < 2) throw ShapeError("a slope needs two points");
  const double center_x = mean(x), center_y = mean(y);
  double both = 0, squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    both += (x[i] - center_x) * (y[i] - center_y);
    squares += (x[i] - center_x) * (x[i] - center_x);
  }
  if (squares == 0) throw ShapeError("a slope needs two different x");
  return both / squares;
}

namespace {

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) result[order[i]] = 0.5 * static_cast<double>(begin + end - 1);
    begin = end;
  }
  return result;
}

}  // namespace

std::optional<double> rank_correlation(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw ShapeError("a correlation needs pairs");
  if (x.size() < 2) return std::nullopt;
  const std::vector<double> a = ranks(x), b = ranks(y);
  const double center = 0.5 * static_cast<double>(x.size() - 1);
  double both = 0, squares_a = 0, squares_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    both += (a[i] - center) * (b[i] - center);
    squares_a += (a[i] - center) * (a[i] - center);
    squares_b += (b[i] - center) * (b[i] - center);
  }
  if (squares_a == 0 || squares_b == 0) return std::nullopt;
  return both / std::sqrt(squares_a * squares_b);
}

}  // namespace qmse
