#include <cstdint>
#include <vector>

#include "base/error.h"
#include "kernels/max_pool2d/max_pool2d.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/pool_cases.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("max_pool2d: the kernels' values, choices and gradients are the reference's") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const MaxPool2dShape& shape : kPoolShapes) {
      for (const std::size_t offset : {0u, 1u, 2u}) {  // in floats, from a 16-byte boundary
        CAPTURE(seed, shape.batch, shape.channels, shape.in_height, shape.in_width, shape.window, offset);
        const std::vector<float> x = images_with_ties(shape, false);
        Placed x_there(x, offset);
        std::vector<float> y(static_cast<std::size_t>(outputs(shape)));
        std::vector<std::uint8_t> choice(y.size());
        simt::Launcher launcher(seed);
        launch_max_pool2d_forward(launcher, shape, x_there.data(), y.data(), choice.data());
        const Pooled expected = reference_max_pool(shape, to_f64(x));
        CHECK((to_f64(y) == expected.y));
        CHECK((choice == expected.choice));

        const auto dy = random_values<float>(outputs(shape), 2);
        Placed dx(std::vector<float>(x.size(), -7.0f), offset);
        launch_max_pool2d_backward(launcher, shape, dy.data(), choice.data(), dx.data());
        CHECK((to_f64(dx.values()) == reference_max_pool_backward(shape, to_f64(dy), choice)));
      }
    }
  }
}

TEST_CASE("max_pool2d: the launch refuses impossible shapes") {
  simt::Launcher launcher(0);
  float number = 0;
  std::uint8_t choice = 0;
  const MaxPool2dShape too_small{1, 1, 2, 4, 3};
  CHECK_THROWS_AS(launch_max_pool2d_forward(launcher, too_small, &number, &number, &choice), ShapeError);
  CHECK_THROWS_AS(launch_max_pool2d_backward(launcher, too_small, &number, &choice, &number), ShapeError);
}
