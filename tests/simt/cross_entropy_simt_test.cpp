#include <cmath>
#include <cstdint>

#include "kernels/cross_entropy/cross_entropy.cuh"
#include "tests/simt/executor.h"
#include "tests/simt/row_loss_shapes.h"
#include "tests/support/catch.h"
#include "tests/support/row_loss_reference.h"

namespace {

using namespace qmse;

// Outputs lie within 30 of each other: their differences, rounded, move exponentials by up to 30 * 2^-24.
constexpr long double kTolerance = 6e-6L;

void check_cross_entropy(std::int64_t batch, std::int64_t classes, bool dense, bool with_gradient,
                         std::uint64_t seed) {
  CAPTURE(batch, classes, dense, with_gradient, seed);
  const auto problem = test::random_problem<float>(batch, classes, dense, seed, 3.0, 1.25);
  test::RowResults<float> results;
  simt::Launcher launcher(seed);
  launch_cross_entropy_loss(launcher, results.args(problem, with_gradient, with_gradient && seed % 2 == 0));
  test::check_rows(problem, results,
                   [&](std::int64_t row) { return test::cross_entropy_reference(problem, row, kTolerance); });
}

}  // namespace

TEST_CASE("cross_entropy: kernels match the reference at every kind of row") {
  for (const test::RowShape& shape : test::row_shapes()) {
    for (const bool dense : {false, true}) {
      for (const std::uint64_t seed : test::shape_seeds(shape)) {
        check_cross_entropy(shape.batch, shape.classes, dense, true, seed);
      }
      check_cross_entropy(shape.batch, shape.classes, dense, false, 2);
    }
  }
}

TEST_CASE("cross_entropy: kernels match the reference in large batches of short rows") {
  for (const test::RowShape& shape : test::large_batches()) {
    check_cross_entropy(shape.batch, shape.classes, shape.classes % 3 == 0, true, 2);
  }
}

TEST_CASE("cross_entropy: kernels match the reference on rows of 100,003 outputs") {
  check_cross_entropy(1, 100003, false, true, 2);
  check_cross_entropy(1, 100000, true, true, 3);
}

TEST_CASE("cross_entropy: kernels take outputs of any size, minus infinity included") {
  for (const std::int64_t classes : {3, 130, 600, 8200}) {
    CAPTURE(classes);
    auto problem = test::random_problem<float>(2, classes, false, 7);
    for (std::int64_t i = 0; i < classes; ++i) {
      problem.output[problem.at(0, i)] = i % 2 == 0 ? 10000.0f : -10000.0f;
      problem.output[problem.at(1, i)] = i == 1 ? 0.5f : -INFINITY;
    }
    problem.labels = {0, 1};
    test::RowResults<float> results;
    simt::Launcher launcher(3);
    launch_cross_entropy_loss(launcher, results.args(problem));
    const auto winners = static_cast<double>((classes + 1) / 2);
    CHECK(results.sample_loss[0] == Approx(std::log(winners)));
    CHECK(results.gradient[0] == Approx(0.5 / winners - 0.5));
    CHECK(results.sample_loss[1] == 0.0f);
    CHECK(results.residual_sq[1] == 0.0f);
    CHECK(results.correct[1] == 1);
  }
}
