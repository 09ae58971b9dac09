#include "kernels/max_pool2d/max_pool2d.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "tests/operations/devices.h"
#include "tests/support/numbers.h"
#include "tests/support/pool_cases.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("max_pool2d: values, choices and gradients are the reference's") {
  Devices devices;
  for (const MaxPool2dShape& shape : kPoolShapes) {
    for (const std::size_t offset : {0u, 1u, 2u}) {  // from an aligned address
      CAPTURE(shape.batch, shape.channels, shape.in_height, shape.in_width, shape.window, offset);
      devices.each(inputs(shape), [&](auto& device) {
        using T = typename std::decay_t<decltype(device)>::Number;
        const std::vector<float> ties = images_with_ties(shape, false);
        const std::vector<T> x(ties.begin(), ties.end());
        const auto x_there = device.array(x, offset),
                   dx = device.array(std::vector<T>(x.size(), T(-7)), offset);
        const auto y = device.template unwritten<T>(outputs(shape));
        const auto choice = device.template unwritten<std::uint8_t>(outputs(shape), 99);
        max_pool2d_forward(device.context, shape, x_there.data(), y.data(), choice.data());
        const Pooled expected = reference_max_pool(shape, to_f64(x));
        CHECK((to_f64(y.values()) == expected.y));
        CHECK((choice.values() == expected.choice));

        const auto dy = random_values<T>(outputs(shape), 2);
        const auto dy_there = device.array(dy);
        max_pool2d_backward(device.context, shape, dy_there.data(), choice.data(), dx.data());
        CHECK((to_f64(dx.values()) == reference_max_pool_backward(shape, to_f64(dy), expected.choice)));
      });
    }
  }
}

TEST_CASE("max_pool2d: gradient agrees with central differences") {
  CpuContext context(1);
  for (const MaxPool2dShape& shape : {MaxPool2dShape{2, 2, 5, 6, 2}, MaxPool2dShape{1, 2, 7, 7, 3}}) {
    CAPTURE(shape.in_height, shape.window);
    // A permutation times 1e-2: two values are never closer than that, and the differences step by 1e-5.
    Numbers x(static_cast<std::size_t>(inputs(shape)));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1e-2 * static_cast<double>(i * 37 % x.size());
    REQUIRE(x.size() % 37 != 0);
    std::vector<std::uint8_t> choice(static_cast<std::size_t>(outputs(shape)));
    const auto forward = [&](const Numbers& input) {
      Numbers y(choice.size());
      max_pool2d_forward(context, shape, input.data(), y.data(), choice.data());
      return y;
    };
    const auto dy = random_values<double>(outputs(shape), 3);
    forward(x);
    Numbers dx(x.size());
    max_pool2d_backward(context, shape, dy.data(), choice.data(), dx.data());
    check_gradient(forward, x, dy, dx);
  }
}

TEST_CASE("max_pool2d: the first maximum wins, the last NaN wins over all") {
  Devices devices;
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  struct Case {
    std::vector<float> window;
    float y;
    int choice;
  };
  for (const Case& c : std::vector<Case>{{{1, 1, 1, 1}, 1, 0},
                                         {{0, 2, 2, 1}, 2, 1},
                                         {{-infinity, -infinity, -infinity, -infinity}, -infinity, 0},
                                         {{-0.0f, 0.0f, -1, 0.0f}, -0.0f, 0},
                                         {{1, nan, 5, infinity}, nan, 1},
                                         {{nan, 2, nan, 3}, nan, 2}}) {
    CAPTURE(c.window);
    devices.each_f32(1, [&](auto& device) {
      const auto window = device.array(c.window), y_there = device.number(7.0f);
      const auto choice_there = device.template number<std::uint8_t>(77);
      max_pool2d_forward(device.context, {1, 1, 2, 2, 2}, window.data(), y_there.data(), choice_there.data());
      const float y = y_there.values()[0];
      const std::uint8_t choice = choice_there.values()[0];
      CHECK(choice == c.choice);
      CHECK(std::isnan(y) == std::isnan(c.y));
      if (!std::isnan(c.y)) CHECK(y == c.y);
      CHECK(std::signbit(y) == std::signbit(c.window[choice]));
    });
  }
}

TEST_CASE("max_pool2d: the number of threads changes no bit") {
  const MaxPool2dShape shape{50, 7, 13, 14, 2};
  const auto x = random_values<float>(inputs(shape), 4);
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    std::vector<float> y(outputs(shape)), dx(x.size());
    std::vector<std::uint8_t> choice(y.size());
    max_pool2d_forward(context, shape, x.data(), y.data(), choice.data());
    max_pool2d_backward(context, shape, y.data(), choice.data(), dx.data());
    if (first.empty()) first = dx;
    CHECK((dx == first));
  }
}

TEST_CASE("max_pool2d: impossible shapes are named") {
  CHECK_NOTHROW(check(MaxPool2dShape{1, 1, 15, 15, 15}));
  CHECK_NOTHROW(check(MaxPool2dShape{1, 1, 1, 1, 1}));
  for (const MaxPool2dShape& shape :
       {MaxPool2dShape{0, 1, 4, 4, 2}, MaxPool2dShape{1, 0, 4, 4, 2}, MaxPool2dShape{1, 1, 0, 4, 2},
        MaxPool2dShape{1, 1, 4, -4, 2}, MaxPool2dShape{1, 1, 4, 4, 0}, MaxPool2dShape{1, 1, 20, 20, 16},
        MaxPool2dShape{1, 1, 2, 4, 3}, MaxPool2dShape{1, 1, 4, 2, 3}}) {
    CAPTURE(shape.batch, shape.channels, shape.in_height, shape.in_width, shape.window);
    CHECK_THROWS_AS(check(shape), ShapeError);
  }
  CHECK_THROWS_WITH(check(MaxPool2dShape{1, 6, 2, 4, 3}), Catch::Contains("[1, 6, 2, 4], window 3"));
  Devices devices;
  devices.each_f32(1, [&](auto& device) {
    float number = 0;
    std::uint8_t choice = 0;
    const MaxPool2dShape too_small{1, 1, 2, 4, 3};
    CHECK_THROWS_AS(max_pool2d_forward(device.context, too_small, &number, &number, &choice), ShapeError);
    CHECK_THROWS_AS(max_pool2d_backward(device.context, too_small, &number, &choice, &number), ShapeError);
  });
}
