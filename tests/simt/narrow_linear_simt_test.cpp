#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/narrow_linear/narrow_linear.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/linear_reference.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// f32 sums of up to some hundred terms, of the sum of their magnitudes.
constexpr double kTolerance = 64 * 0x1p-24;

void check_sums(const std::vector<float>& actual, const std::vector<double>& expected,
                const std::vector<double>& magnitude) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(i, actual[i], expected[i]);
    CHECK(std::abs(static_cast<double>(actual[i]) - expected[i]) <= kTolerance * magnitude[i]);
  }
}

std::vector<double> sizes(const std::vector<float>& values) {
  std::vector<double> result;
  for (const float value : values) result.push_back(std::abs(static_cast<double>(value)));
  return result;
}

}  // namespace

TEST_CASE("narrow_linear: values and gradients agree with f64") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const LinearShape& s :
         {LinearShape{64, 128, 10, Activation::identity}, LinearShape{1, 1, 1, Activation::relu},
          LinearShape{33, 70, 16, Activation::relu}, LinearShape{7, 31, 3, Activation::identity}}) {
      CAPTURE(seed, s.batch, s.in_features, s.out_features);
      const NarrowLinearShape narrow{s.batch, s.in_features, s.out_features, s.activation};
      const auto x = random_values<float>(s.batch * s.in_features, 1),
                 w = random_values<float>(s.out_features * s.in_features, 2),
                 bias = random_values<float>(s.out_features, 3),
                 dy = random_values<float>(s.batch * s.out_features, 4);
      std::vector<float> y(dy.size(), -7), dx(x.size(), -7), dw(w.size(), -7), db(bias.size(), -7);
      simt::Launcher launcher(seed);
      launch_narrow_linear_forward(launcher, narrow, x.data(), w.data(), bias.data(), y.data());
      launch_narrow_linear_backward(launcher, narrow, x.data(), w.data(), y.data(), dy.data(), dx.data(),
                                    dw.data(), db.data());
      const LinearReference expected = reference_linear(s, to_f64(x), to_f64(w), to_f64(bias), to_f64(dy), y),
                            size = reference_linear(s, sizes(x), sizes(w), sizes(bias), sizes(dy), y);
      check_sums(y, expected.y, size.y);
      check_sums(dx, expected.dx, size.dx);
      check_sums(dw, expected.dw, size.dw);
      check_sums(db, expected.db, size.db);
      // What is not wanted is left alone, and the rest has the same bits.
      std::vector<float> dw2(w.size(), -7), dx2(x.size(), -7), no_bias(dy.size(), -7);
      launch_narrow_linear_backward(launcher, narrow, x.data(), w.data(), y.data(), dy.data(), nullptr,
                                    dw2.data(), nullptr);
      CHECK(dw2 == dw);
      launch_narrow_linear_backward(launcher, narrow, x.data(), w.data(), y.data(), dy.data(), dx2.data(),
                                    nullptr, nullptr);
      CHECK(dx2 == dx);
      const std::vector<double> zeros(bias.size(), 0.0);
      launch_narrow_linear_forward(launcher, narrow, x.data(), w.data(), nullptr, no_bias.data());
      check_sums(no_bias, reference_linear(s, to_f64(x), to_f64(w), zeros, to_f64(dy), y).y, size.y);
    }
  }
}

TEST_CASE("narrow_linear: every activation, and a NaN goes through ReLU") {
  const float x[] = {0.5f, std::numeric_limits<float>::quiet_NaN()}, w[] = {2.0f}, dy[] = {3.0f, 3.0f};
  simt::Launcher launcher(1);
  const std::pair<Activation, std::pair<double, double>> cases[] = {
      {Activation::identity, {1.0, 1.0}},
      {Activation::relu, {1.0, 1.0}},
      {Activation::tanh, {std::tanh(1.0), 1 - std::tanh(1.0) * std::tanh(1.0)}},
      {Activation::sigmoid, {1 / (1 + std::exp(-1.0)), std::exp(-1.0) / std::pow(1 + std::exp(-1.0), 2)}}};
  for (const auto& [activation, expected] : cases) {
    float y[2], dx[2];
    const NarrowLinearShape s{2, 1, 1, activation};
    launch_narrow_linear_forward(launcher, s, x, w, nullptr, y);
    CHECK(std::abs(y[0] - expected.first) < 1e-6);
    CHECK(std::isnan(y[1]));
    launch_narrow_linear_backward(launcher, s, x, w, y, dy, dx, nullptr, nullptr);
    CHECK(std::abs(dx[0] - 6 * expected.second) < 1e-5);
  }
}

TEST_CASE("narrow_linear: a large batch or many outputs are refused") {
  CHECK(has_narrow_linear({512, 1000, 16}));
  CHECK_FALSE(has_narrow_linear({513, 1000, 16}));
  CHECK_FALSE(has_narrow_linear({512, 1000, 17}));
  CHECK_FALSE(has_narrow_linear({512, 5000, 16}));
  simt::Launcher launcher(1);
  const NarrowLinearShape wide{1, 1, 17};
  float value = 0;
  CHECK_THROWS_AS(launch_narrow_linear_forward(launcher, wide, &value, &value, &value, &value), ShapeError);
  CHECK_THROWS_AS(
      launch_narrow_linear_backward(launcher, wide, &value, &value, &value, &value, &value, &value, &value),
      ShapeError);
}
