#include <cstdint>

#include "kernels/mse/mse.cuh"
#include "tests/simt/executor.h"
#include "tests/simt/row_loss_shapes.h"
#include "tests/support/catch.h"
#include "tests/support/row_loss_reference.h"

namespace {

using namespace qmse;

void check_mse(std::int64_t batch, std::int64_t classes, bool dense, bool with_gradient, std::uint64_t seed) {
  CAPTURE(batch, classes, dense, with_gradient, seed);
  const auto problem = test::random_problem<float>(batch, classes, dense, seed, 0.8, 0.75);
  test::RowResults<float> results;
  simt::Launcher launcher(seed);
  launch_mse_loss(launcher, results.args(problem, with_gradient, with_gradient && seed % 2 == 0));
  test::check_rows(problem, results,
                   [&](std::int64_t row) { return test::mse_reference(problem, row, test::kSimtTolerance); });
}

}  // namespace

TEST_CASE("mse: kernels match the reference at every kind of row") {
  for (const test::RowShape& shape : test::row_shapes()) {
    for (const bool dense : {false, true}) {
      for (const std::uint64_t seed : test::shape_seeds(shape)) {
        check_mse(shape.batch, shape.classes, dense, true, seed);
      }
      check_mse(shape.batch, shape.classes, dense, false, 2);
    }
  }
}

TEST_CASE("mse: kernels match the reference with rows of one huge slab count") {
  check_mse(2, 100003, false, true, 2);
  check_mse(1, 100000, true, true, 3);
}
