#include "kernels/bias_activation/bias_activation.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr Activation kActivations[] = {Activation::identity, Activation::relu, Activation::tanh,
                                       Activation::sigmoid};

// One plane, channels only, planes of whole and of broken vectors, more than one range of work.
const BiasShape kShapes[] = {{1, 1, 1},   {3, 10, 1},   {65, 127, 1}, {2, 3, 49},
                             {3, 5, 784}, {700, 33, 1}, {5, 2, 9001}};

std::int64_t count(const BiasShape& shape) { return shape.batch * shape.channels * shape.inner; }

// A few roundings; exp and tanh of libm are good to about one more.
template <class T>
constexpr double kTolerance = 4 * std::numeric_limits<T>::epsilon();

template <class T>
void check_forward() {
  CpuContext context(2);
  for (const BiasShape& shape : kShapes) {
    for (const Activation activation : kActivations) {
      for (const bool with_bias : {true, false}) {
        CAPTURE(shape.batch, shape.channels, shape.inner, static_cast<int>(activation), with_bias);
        const auto x = random_values<T>(count(shape), 1, -3, 3);
        const auto bias = random_values<T>(shape.channels, 2);
        std::vector<T> y(x.size());
        bias_activation_forward(context, shape, activation, x.data(), with_bias ? bias.data() : nullptr,
                                y.data());
        // Near zero the sum's rounding counts against what x and the bias are, not against the result.
        check_close(
            y, reference_bias_activation(shape, activation, to_f64(x), with_bias ? to_f64(bias) : Numbers()),
            kTolerance<T>, kTolerance<T>);

        std::vector<T> in_place = x;
        bias_activation_forward(context, shape, activation, in_place.data(),
                                with_bias ? bias.data() : nullptr, in_place.data());
        CHECK((in_place == y));
      }
    }
  }
}

template <class T>
void check_bias_gradient() {
  CpuContext context(2);
  for (const BiasShape& shape : kShapes) {
    CAPTURE(shape.batch, shape.channels, shape.inner);
    const auto dy = random_values<T>(count(shape), 3);
    std::vector<T> db(static_cast<std::size_t>(shape.channels), T(-7));
    bias_gradient(context, shape, dy.data(), db.data());
    // Sums are f64: what is left is the rounding of the result, and of f64 sums that cancel.
    check_close(db, reference_bias_gradient(shape, to_f64(dy)), std::numeric_limits<T>::epsilon(), 1e-11);
  }
}

}  // namespace

TEST_CASE("bias_activation: forward agrees with the reference, f32") { check_forward<float>(); }
TEST_CASE("bias_activation: forward agrees with the reference, f64") { check_forward<double>(); }
TEST_CASE("bias_activation: bias gradient agrees with the reference, f32") { check_bias_gradient<float>(); }
TEST_CASE("bias_activation: bias gradient agrees with the reference, f64") { check_bias_gradient<double>(); }

TEST_CASE("bias_activation: gradients agree with central differences") {
  CpuContext context(1);
  for (const BiasShape& shape : {BiasShape{3, 7, 1}, BiasShape{2, 3, 5}}) {
    for (const Activation activation : kActivations) {
      CAPTURE(shape.batch, shape.channels, shape.inner, static_cast<int>(activation));
      auto x = random_values<double>(count(shape), 4, -2, 2);
      const auto bias = random_values<double>(shape.channels, 5);
      const auto dy = random_values<double>(count(shape), 6);
      // Every sum at least 1e-2 from ReLU's kink: the differences step by 1e-5.
      for (std::int64_t i = 0; i < count(shape); ++i) {
        const double sum = x[i] + bias[i / shape.inner % shape.channels];
        if (std::abs(sum) < 1e-2) x[i] += 0.1;
      }
      const auto forward = [&](const Numbers& input, const Numbers& shift) {
        Numbers y(input.size());
        bias_activation_forward(context, shape, activation, input.data(), shift.data(), y.data());
        return y;
      };
      const Numbers y = forward(x, bias);
      Numbers dx(x.size()), db(bias.size());
      activation_backward(context, count(shape), activation, y.data(), dy.data(), dx.data());
      bias_gradient(context, shape, dx.data(), db.data());
      check_gradient([&](const Numbers& at) { return forward(at, bias); }, x, dy, dx);
      check_gradient([&](const Numbers& at) { return forward(x, at); }, bias, dy, db);

      Numbers in_place = dy;
      activation_backward(context, count(shape), activation, y.data(), in_place.data(), in_place.data());
      CHECK(in_place == dx);
    }
  }
}

TEST_CASE("bias_activation: f32 gradients agree with the f64 formulas") {
  CpuContext context(2);
  const std::int64_t n = 20001;  // more than one range of work
  for (const Activation activation : kActivations) {
    CAPTURE(static_cast<int>(activation));
    const auto x = random_values<float>(n, 7, -3, 3), dy = random_values<float>(n, 8);
    std::vector<float> y(x.size()), dx(x.size());
    bias_activation_forward(context, {1, 1, n}, activation, x.data(), nullptr, y.data());
    activation_backward(context, n, activation, y.data(), dy.data(), dx.data());
    const Numbers expected = reference_activation_backward(activation, y, dy);
    check_close(dx, expected, kTolerance<float>, kTolerance<float>);  // 1 - y^2 cancels where |y| is near 1
  }
}

TEST_CASE("bias_activation: ReLU gives no negative zero and lets NaN through") {
  CpuContext context(1);
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x{-0.0f, 0.0f, -1.0f, nan, infinity, -infinity, 1e-45f, -1e-45f};
  std::vector<float> y(x.size()), dx(x.size());
  bias_activation_forward(context, {1, 1, 8}, Activation::relu, x.data(), nullptr, y.data());
  CHECK(std::isnan(y[3]));
  y[3] = 5;
  CHECK(y == std::vector<float>{0, 0, 0, 5, infinity, 0, 1e-45f, 0});
  for (const float value : y) CHECK_FALSE(std::signbit(value));
  y[3] = nan;
  const std::vector<float> dy(x.size(), 2.0f);
  activation_backward(context, 8, Activation::relu, y.data(), dy.data(), dx.data());
  CHECK(dx == std::vector<float>{0, 0, 0, 2, 2, 0, 2, 0});
}

TEST_CASE("bias_activation: the number of threads changes no bit") {
  for (const BiasShape& shape : {BiasShape{257, 129, 1}, BiasShape{9, 31, 333}}) {
    const auto x = random_values<float>(count(shape), 9), bias = random_values<float>(shape.channels, 10);
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 2, 3, 5}) {
      CpuContext context(threads);
      std::vector<float> y(x.size()), db(bias.size());
      bias_activation_forward(context, shape, Activation::tanh, x.data(), bias.data(), y.data());
      bias_gradient(context, shape, x.data(), db.data());
      y.insert(y.end(), db.begin(), db.end());
      results.push_back(y);
      CAPTURE(threads);
      CHECK((results.back() == results.front()));
    }
  }
}
