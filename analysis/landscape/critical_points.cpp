#include "analysis/landscape/critical_points.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "algebra/dense.h"
#include "analysis/landscape/words.h"

namespace qmse {
namespace {

bool same(const CriticalPoint& a, const CriticalPoint& b) {
  if (std::abs(a.loss - b.loss) > 1e-9 || a.index != b.index || a.spectrum.size() != b.spectrum.size())
    return false;
  double largest = 0;
  for (const double value : a.spectrum) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < a.spectrum.size(); ++i) {
    if (std::abs(a.spectrum[i] - b.spectrum[i]) > 1e-6 * largest) return false;
  }
  return true;
}

}  // namespace

std::vector<CriticalPoint> distinct(const std::vector<CriticalPoint>& points) {
  std::vector<CriticalPoint> kept;
  for (const CriticalPoint& point : points) {
    if (std::none_of(kept.begin(), kept.end(), [&](const auto& other) { return same(point, other); }))
      kept.push_back(point);
  }
  return kept;
}

LandscapeVerdict index_against_loss(const std::vector<CriticalPoint>& points) {
  LandscapeVerdict verdict{
      .claim = "critical points with a higher loss have a higher index",
      .criterion =
          "the 95 % interval (bootstrap over seeds) of Spearman's correlation of index and loss, that of "
          "their ranks, is above 0 (1: the same order); does not hold where it is below"};
  std::map<std::int64_t, std::vector<const CriticalPoint*>> by_seed;
  for (const CriticalPoint& point : points) by_seed[point.seed].push_back(&point);
  std::vector<const std::vector<const CriticalPoint*>*> groups;
  for (const auto& [seed, group] : by_seed) groups.push_back(&group);
  const auto correlation = [&](std::span<const std::int64_t> drawn) {
    std::vector<double> losses, indices;
    for (const std::int64_t g : drawn) {
      for (const CriticalPoint* point : *groups[static_cast<std::size_t>(g)]) {
        losses.push_back(point->loss);
        indices.push_back(static_cast<double>(point->index));
      }
    }
    return losses.size() < 2 ? NAN : rank_correlation(losses, indices).value_or(NAN);
  };
  std::vector<std::int64_t> all;
  for (std::size_t g = 0; g < groups.size(); ++g) all.push_back(static_cast<std::int64_t>(g));
  const double value = correlation(all);
  if (points.empty()) return verdict;
  verdict.finding = Finding::not_shown;
  verdict.sentence = std::to_string(points.size()) + " points, whose indices or losses are all equal.";
  const auto interval = bootstrap_interval(static_cast<std::int64_t>(groups.size()), correlation);
  if (!std::isfinite(value) || !interval) return verdict;
  verdict.finding = interval->low > 0    ? Finding::holds
                    : interval->high < 0 ? Finding::does_not_hold
                                         : Finding::not_shown;
  const auto [least, most] = std::minmax_element(
      points.begin(), points.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  verdict.sentence = "Spearman's correlation of index and loss is " + interval_words(value, interval) +
                     " over " + std::to_string(points.size()) + " distinct critical points of index " +
                     std::to_string(least->index) + " to " + std::to_string(most->index) + ".";
  verdict.statistic = {.name = "rank correlation",
                       .value = value,
                       .interval = interval,
                       .n = static_cast<std::int64_t>(points.size())};
  return verdict;
}

LandscapeVerdict minima_below_saddles(const std::vector<CriticalPoint>& points) {
  LandscapeVerdict verdict{
      .claim = "no minimum lies above a saddle",
      .criterion =
          "there is no pair of a minimum and a saddle in which the saddle's loss is lower by more than 1e-9"};
  std::vector<double> minima, saddles;
  for (const CriticalPoint& point : points) (point.index == 0 ? minima : saddles).push_back(point.loss);
  if (minima.empty() || saddles.empty()) return verdict;
  std::int64_t pairs = 0;
  for (const double minimum : minima) {
    pairs += std::count_if(saddles.begin(), saddles.end(), [&](double s) { return s < minimum - 1e-9; });
  }
  const auto [low, high] = std::minmax_element(minima.begin(), minima.end());
  verdict.finding = pairs == 0 ? Finding::holds : Finding::does_not_hold;
  verdict.sentence =
      std::to_string(minima.size()) + " distinct minima have losses from " + number_words(*low) + " to " +
      number_words(*high) + ", " + std::to_string(saddles.size()) + " saddles from " +
      number_words(*std::min_element(saddles.begin(), saddles.end())) + " to " +
      number_words(*std::max_element(saddles.begin(), saddles.end())) + "; in " + std::to_string(pairs) +
      " of " + std::to_string(minima.size() * saddles.size()) + " pairs the minimum is above the saddle.";
  verdict.statistic = {.name = "pairs of a minimum above a saddle",
                       .value = static_cast<double>(pairs),
                       .interval = {},
                       .n = static_cast<std::int64_t>(minima.size() * saddles.size())};
  return verdict;
}

std::vector<double> with_zero_units(const MlpShape& shape, std::span<const double> w, std::int64_t hidden) {
  const std::int64_t before = shape.widths[1], inputs = shape.inputs(), outputs = shape.outputs();
  MlpShape wide = shape;
  wide.widths[1] = hidden;
  std::vector<double> padded(static_cast<std::size_t>(wide.parameters()));
  const auto copy = [&](std::int64_t from, std::int64_t count, std::int64_t to) {
    std::copy_n(w.begin() + from, count, padded.begin() + to);
  };
  copy(0, before * inputs, 0);
  if (shape.biases) copy(shape.bias_offset(1), before, wide.bias_offset(1));
  for (std::int64_t o = 0; o < outputs; ++o)
    copy(shape.weight_offset(2) + o * before, before, wide.weight_offset(2) + o * hidden);
  if (shape.biases) copy(shape.bias_offset(2), outputs, wide.bias_offset(2));
  return padded;
}

std::int64_t negative_directions_of_a_zero_unit(Mlp& network, std::span<const double> w) {
  const Samples& samples = network.samples();
  const std::int64_t columns = samples.inputs + (network.shape().biases ? 1 : 0);
  const std::vector<double> f = network.outputs(w);
  std::vector<double> m;
  for (std::int64_t o = 0; o < samples.outputs; ++o) {
    for (std::int64_t k = 0; k < columns; ++k) {
      double sum = 0;
      for (std::int64_t n = 0; n < samples.count; ++n)
        sum += (samples.target(n, o) - f[static_cast<std::size_t>(o * samples.stride + n)]) *
               (k < samples.inputs ? samples.input(n, k) : 1.0);
      m.push_back(sum / static_cast<double>(samples.count));
    }
  }
  const std::vector<double> singular = singular_values(m, samples.outputs, columns);
  return std::count_if(singular.begin(), singular.end(),
                       [&](double s) { return s > network.objective().weight_decay; });
}

}  // namespace qmse
