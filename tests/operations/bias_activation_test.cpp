#include "kernels/bias_activation/bias_activation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/operations/devices.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr Activation kActivations[] = {Activation::identity, Activation::relu, Activation::tanh,
                                       Activation::sigmoid};

// No element, one, channels only, planes of whole and of broken vectors, more than one of the CPU's ranges
// of work.
const BiasShape kShapes[] = {{0, 3, 4},    {1, 1, 1},    {3, 10, 1},  {7, 10, 1},  {11, 129, 1},
                             {65, 127, 1}, {2, 3, 5},    {2, 3, 49},  {3, 5, 196}, {3, 5, 784},
                             {700, 33, 1}, {5, 2, 9001}, {8, 32, 784}};

std::int64_t count(const BiasShape& shape) { return shape.batch * shape.channels * shape.inner; }

// A few roundings; exp and tanh of libm are good to about one more, CUDA's to two.
template <class D>
constexpr double kTolerance = 8 * D::kEpsilon;

}  // namespace

TEST_CASE("bias_activation: forward agrees with the reference") {
  Devices devices;
  for (const BiasShape& shape : kShapes) {
    for (const Activation activation : kActivations) {
      for (const bool with_bias : {true, false}) {
        for (const std::size_t offset : {0u, 1u}) {  // from an aligned address
          CAPTURE(shape.batch, shape.channels, shape.inner, static_cast<int>(activation), with_bias, offset);
          devices.each(count(shape), [&](auto& device) {
            using D = std::decay_t<decltype(device)>;
            using T = typename D::Number;
            const auto x = random_values<T>(count(shape), 1, -3, 3);
            const auto bias = random_values<T>(shape.channels, 2);
            const auto x_there = device.array(x, offset), in_place = device.array(x, offset);
            const auto bias_there = device.array(with_bias ? bias : std::vector<T>());
            const auto y = device.template unwritten<T>(count(shape));
            bias_activation_forward(device.context, shape, activation, x_there.data(), bias_there.data(),
                                    y.data());
            // Near zero the sum's rounding counts against what x and the bias are, not against the result.
            check_close(
                y.values(),
                reference_bias_activation(shape, activation, to_f64(x), with_bias ? to_f64(bias) : Numbers()),
                kTolerance<D>, kTolerance<D>);
            bias_activation_forward(device.context, shape, activation, in_place.data(), bias_there.data(),
                                    in_place.data());
            CHECK((in_place.values() == y.values()));
          });
        }
      }
    }
  }
}

TEST_CASE("bias_activation: backward follows the output") {
  Devices devices;
  for (const std::int64_t n : {1, 3, 4, 1023, 1029, 20001}) {
    for (const Activation activation : kActivations) {
      for (const std::size_t offset : {0u, 1u}) {
        CAPTURE(n, static_cast<int>(activation), offset);
        devices.each(n, [&](auto& device) {
          using D = std::decay_t<decltype(device)>;
          using T = typename D::Number;
          const auto y = random_values<T>(n, 3), dy = random_values<T>(n, 4);
          const auto y_there = device.array(y, offset), dy_there = device.array(dy, offset);
          const auto dx = device.template unwritten<T>(n);
          activation_backward(device.context, n, activation, y_there.data(), dy_there.data(), dx.data());
          const Numbers expected = reference_activation_backward(activation, y, dy);
          // 1 - y^2 cancels where |y| is near 1.
          check_close(dx.values(), expected, kTolerance<D>, kTolerance<D>);
          activation_backward(device.context, n, activation, y_there.data(), dy_there.data(),
                              dy_there.data());  // in place
          CHECK((dy_there.values() == dx.values()));
        });
      }
    }
  }
}

TEST_CASE("bias_activation: bias gradient agrees with the reference, with the same bits twice") {
  Devices devices;
  // Planes of one element; planes in whole groups of four, aligned and not; broken planes; planes longer than
  // a block's threads take at a time; batches and channels of one, and no image.
  for (const BiasShape& shape :
       {BiasShape{0, 2, 8}, BiasShape{1, 1, 1}, BiasShape{3, 10, 1}, BiasShape{65, 10, 1},
        BiasShape{33, 33, 1}, BiasShape{65, 127, 1}, BiasShape{256, 128, 1}, BiasShape{700, 33, 1},
        BiasShape{3, 2, 196}, BiasShape{3, 5, 784}, BiasShape{70, 3, 49}, BiasShape{2, 2, 4},
        BiasShape{5, 3, 2}, BiasShape{1, 2, 9001}, BiasShape{5, 2, 9001}, BiasShape{3, 1, 4096}}) {
    for (const std::size_t offset : {0u, 1u}) {
      CAPTURE(shape.batch, shape.channels, shape.inner, offset);
      std::vector<float> first_on_gpu;
      devices.each(count(shape), [&](auto& device) {
        using D = std::decay_t<decltype(device)>;
        using T = typename D::Number;
        const auto dy = random_values<T>(count(shape), 5);
        const auto dy_there = device.array(dy, offset);
        const auto db = device.template unwritten<T>(shape.channels),
                   again = device.template unwritten<T>(shape.channels);
        bias_gradient(device.context, shape, dy_there.data(), db.data());
        bias_gradient(device.context, shape, dy_there.data(), again.data());
        CHECK((db.values() == again.values()));
        const Numbers expected = reference_bias_gradient(shape, to_f64(dy));
        if (D::kIsCpu) {
          // Sums are f64: what is left is the rounding of the result, and of f64 sums that cancel.
          check_close(db.values(), expected, D::kEpsilon, 1e-11);
        } else {
          // Some tens of f32 numbers are added before f64 takes over.
          Numbers sizes;
          for (const T value : dy) sizes.push_back(std::abs(static_cast<double>(value)));
          const Numbers size = reference_bias_gradient(shape, sizes);
          check_close(db.values(), expected, 0, 64 * 0x1p-24 * *std::max_element(size.begin(), size.end()));
          const std::vector<T> here = db.values();
          const std::vector<float> found(here.begin(), here.end());
          if (first_on_gpu.empty()) first_on_gpu = found;
          CHECK(found == first_on_gpu);  // the order is fixed by the shape
        }
      });
    }
  }
}

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

TEST_CASE("bias_activation: ReLU gives no negative zero and lets NaN through") {
  Devices devices;
  devices.each_f32(1, [&](auto& device) {
    const float nan = std::numeric_limits<float>::quiet_NaN(),
                infinity = std::numeric_limits<float>::infinity();
    const auto x =
        device.template array<float>({-0.0f, 0.0f, -1.0f, nan, infinity, -infinity, 1e-45f, -1e-45f});
    const auto y_there = device.template unwritten<float>(8), dx = device.template unwritten<float>(8);
    bias_activation_forward(device.context, {1, 1, 8}, Activation::relu, x.data(), nullptr, y_there.data());
    const auto dy = device.array(std::vector<float>(8, 2.0f));
    activation_backward(device.context, 8, Activation::relu, y_there.data(), dy.data(), dx.data());
    std::vector<float> y = y_there.values();
    CHECK(std::isnan(y[3]));
    y[3] = 5;
    CHECK(y == std::vector<float>{0, 0, 0, 5, infinity, 0, 1e-45f, 0});
    for (const float value : y) CHECK_FALSE(std::signbit(value));
    CHECK(dx.values() == std::vector<float>{0, 0, 0, 2, 2, 0, 2, 0});
  });
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
