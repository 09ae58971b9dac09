#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/narrow_linear/narrow_linear.h"
#include "tests/operations/devices.h"
#include "tests/support/linear_reference.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("narrow_linear: values and gradients agree with f64, with the same bits twice") {
  Devices devices;
  for (const LinearShape& s :
       {LinearShape{64, 128, 10, Activation::identity}, LinearShape{1, 1, 1, Activation::relu},
        LinearShape{33, 70, 16, Activation::relu}, LinearShape{7, 31, 3, Activation::identity}}) {
    CAPTURE(s.batch, s.in_features, s.out_features);
    devices.each_gpu(1, [&](auto& device) {
      const NarrowLinearShape narrow{s.batch, s.in_features, s.out_features, s.activation};
      const auto x = random_values<float>(s.batch * s.in_features, 1),
                 w = random_values<float>(s.out_features * s.in_features, 2),
                 bias = random_values<float>(s.out_features, 3),
                 dy = random_values<float>(s.batch * s.out_features, 4);
      const auto x_there = device.array(x), w_there = device.array(w), bias_there = device.array(bias),
                 dy_there = device.array(dy);
      const auto unwritten = [&](const std::vector<float>& like) {
        return device.template unwritten<float>(static_cast<std::int64_t>(like.size()));
      };
      const auto backward = [&](const float* y, float* dx, float* dw, float* db) {
        narrow_linear_backward(device.context, narrow, x_there.data(), w_there.data(), y, dy_there.data(), dx,
                               dw, db);
      };
      const auto y_there = unwritten(dy), dx = unwritten(x), dw = unwritten(w), db = unwritten(bias),
                 dx2 = unwritten(x), dw2 = unwritten(w), no_bias = unwritten(dy);
      narrow_linear_forward(device.context, narrow, x_there.data(), w_there.data(), bias_there.data(),
                            y_there.data());
      backward(y_there.data(), dx.data(), dw.data(), db.data());
      const std::vector<float> y = y_there.values();
      const Numbers mask = to_f64(y);
      const LinearReference expected =
          reference_linear(s, to_f64(x), to_f64(w), to_f64(bias), to_f64(dy), mask);
      const LinearReference size =
          reference_linear(s, magnitudes(x), magnitudes(w), magnitudes(bias), magnitudes(dy), mask);
      const double tolerance = device.sum_tolerance();
      check_sums(y, expected.y, size.y, tolerance);
      check_sums(dx.values(), expected.dx, size.dx, tolerance);
      check_sums(dw.values(), expected.dw, size.dw, tolerance);
      check_sums(db.values(), expected.db, size.db, tolerance);
      // What is not wanted is left alone, and the rest has the same bits.
      backward(y_there.data(), nullptr, dw2.data(), nullptr);
      CHECK(dw2.values() == dw.values());
      backward(y_there.data(), dx2.data(), nullptr, nullptr);
      CHECK(dx2.values() == dx.values());
      narrow_linear_forward(device.context, narrow, x_there.data(), w_there.data(), nullptr, no_bias.data());
      check_sums(no_bias.values(), reference_linear(s, to_f64(x), to_f64(w), {}, to_f64(dy), mask).y, size.y,
                 tolerance);
    });
  }
}

TEST_CASE("narrow_linear: every activation, and a NaN goes through ReLU") {
  const std::pair<Activation, std::pair<double, double>> cases[] = {
      {Activation::identity, {1.0, 1.0}},
      {Activation::relu, {1.0, 1.0}},
      {Activation::tanh, {std::tanh(1.0), 1 - std::tanh(1.0) * std::tanh(1.0)}},
      {Activation::sigmoid, {1 / (1 + std::exp(-1.0)), std::exp(-1.0) / std::pow(1 + std::exp(-1.0), 2)}}};
  Devices devices;
  devices.each_gpu(1, [&](auto& device) {
    const auto x = device.template array<float>({0.5f, std::numeric_limits<float>::quiet_NaN()});
    const auto w = device.number(2.0f), dy = device.template array<float>({3.0f, 3.0f});
    for (const auto& [activation, expected] : cases) {
      const auto y = device.template unwritten<float>(2), dx = device.template unwritten<float>(2);
      const NarrowLinearShape s{2, 1, 1, activation};
      narrow_linear_forward(device.context, s, x.data(), w.data(), nullptr, y.data());
      narrow_linear_backward(device.context, s, x.data(), w.data(), y.data(), dy.data(), dx.data(), nullptr,
                             nullptr);
      CHECK(std::abs(y.values()[0] - expected.first) < 1e-6);
      CHECK(std::isnan(y.values()[1]));
      CHECK(std::abs(dx.values()[0] - 6 * expected.second) < 1e-5);
    }
  });
}

TEST_CASE("narrow_linear: a large batch or many outputs are refused") {
  CHECK(has_narrow_linear({512, 1000, 16}));
  CHECK_FALSE(has_narrow_linear({513, 1000, 16}));
  CHECK_FALSE(has_narrow_linear({512, 1000, 17}));
  CHECK_FALSE(has_narrow_linear({512, 5000, 16}));
  Devices devices;
  devices.each_gpu(1, [&](auto& device) {
    const NarrowLinearShape wide{1, 1, 17};
    float v = 0;
    CHECK_THROWS_AS(narrow_linear_forward(device.context, wide, &v, &v, &v, &v), ShapeError);
    CHECK_THROWS_AS(narrow_linear_backward(device.context, wide, &v, &v, &v, &v, &v, &v, &v), ShapeError);
  });
}
