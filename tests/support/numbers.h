// Random inputs, comparisons and central differences for tests of numeric code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace qmse::test {

using Numbers = std::vector<double>;

// n values in [low, high), the same everywhere for a seed.
template <class T>
std::vector<T> random_values(std::int64_t n, std::uint64_t seed, double low = -1, double high = 1) {
  std::mt19937_64 engine(seed);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) {
    value = static_cast<T>(low + (high - low) * static_cast<double>(engine() >> 11) * 0x1p-53);
  }
  return values;
}

// Whole numbers in [-4, 4]: their products and sums are exact in f32 as long as they stay below 2^24, so that
// results can be compared exactly, whatever the order of summation.
template <class T>
std::vector<T> random_integers(std::int64_t n, std::uint64_t seed) {
  std::vector<T> values = random_values<T>(n, seed, -4.5, 4.5);
  for (T& value : values) value = std::round(value);
  return values;
}

template <class T>
std::vector<double> to_f64(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

// A buffer whose first element is `offset` floats after a 16-byte boundary.
struct Placed {
  std::size_t offset;
  std::vector<float> all;

  Placed(const std::vector<float>& values, std::size_t place) : offset(place), all(place, -7.0f) {
    all.insert(all.end(), values.begin(), values.end());
  }
  float* data() { return all.data() + offset; }
  std::vector<float> values() const { return {all.begin() + static_cast<std::ptrdiff_t>(offset), all.end()}; }
};

// NaN and the sign of zero included.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// |actual - expected| <= relative * |expected| + absolute for every element; a failure names the worst.
template <class T>
void check_close(const std::vector<T>& actual, const std::vector<double>& expected, double relative,
                 double absolute = 0) {
  REQUIRE(actual.size() == expected.size());
  std::size_t worst = 0;
  double worst_excess = -1;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    const double excess = difference - (relative * std::abs(expected[i]) + absolute);
    if (std::isnan(excess) || excess > worst_excess) {
      worst = i;
      worst_excess = excess;
      if (std::isnan(excess)) break;
    }
  }
  if (actual.empty()) return;
  CAPTURE(worst, actual[worst], expected[worst], relative, absolute);
  CHECK(worst_excess <= 0);
}

template <class T>
std::vector<double> magnitudes(const std::vector<T>& values) {
  std::vector<double> absolute;
  for (const T value : values) absolute.push_back(std::abs(static_cast<double>(value)));
  return absolute;
}

// |actual - expected| <= tolerance * magnitude, that of the terms that were summed, for every element. One of
// small magnitude counts as `least` of the largest.
template <class T>
void check_sums(const std::vector<T>& actual, const std::vector<double>& expected,
                const std::vector<double>& magnitude, double tolerance, double least = 0) {
  REQUIRE(actual.size() == expected.size());
  REQUIRE(actual.size() == magnitude.size());
  const double floor = magnitude.empty() ? 0 : least * *std::max_element(magnitude.begin(), magnitude.end());
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    const double error = difference == 0 ? 0 : difference / std::max(magnitude[i], floor);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  CAPTURE(worst, tolerance);
  CHECK(worst <= tolerance);
}

// Compares `gradient`, said to be d<weights, f(x)>/dx, with central differences of f (vector to vector, f64):
// |difference| < 1e-6 of the larger of 1 and the largest element.
template <class F>
void check_gradient(const F& f, std::vector<double> x, const std::vector<double>& weights,
                    const std::vector<double>& gradient) {
  REQUIRE(gradient.size() == x.size());
  constexpr double h = 1e-5;  // truncation is of order h^2, rounding of order 1e-16 / h: both below 1e-9
  const auto value = [&] {
    const std::vector<double> y = f(x);
    REQUIRE(y.size() == weights.size());
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
    return sum;
  };
  double scale = 1;
  for (const double g : gradient) scale = std::max(scale, std::abs(g));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double here = x[i];
    x[i] = here + h;
    const double above = value();
    x[i] = here - h;
    const double below = value();
    x[i] = here;
    const double difference = (above - below) / (2 * h);
    CAPTURE(i, difference, gradient[i], scale);
    REQUIRE(std::abs(difference - gradient[i]) < 1e-6 * scale);
  }
}

}  // namespace qmse::test
