#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

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
  test::check_rows(problem, results, [&](std::int64_t row) {
    return test::mse_reference(problem, row, test::kKernelTolerance);
  });
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

TEST_CASE("mse: kernels match the reference in large batches of short rows") {
  for (const test::RowShape& shape : test::large_batches()) {
    check_mse(shape.batch, shape.classes, shape.classes % 3 == 0, true, 2);
  }
}

TEST_CASE("mse: kernels match the reference on rows of 100,003 outputs") {
  check_mse(2, 100003, false, true, 2);
  check_mse(1, 100000, true, true, 3);
}

TEST_CASE("mse: kernels take rows that are multiples of four but not aligned to vectors") {
  for (const std::int64_t classes : {8, 100, 260, 1024, 8200}) {
    for (const int offset : {1, 2, 3}) {
      CAPTURE(classes, offset);
      const auto problem = test::random_problem<float>(3, classes, false, 9);
      std::vector<float> output(problem.output.size() + static_cast<std::size_t>(offset));
      std::copy(problem.output.begin(), problem.output.end(), output.begin() + offset);
      test::RowResults<float> results;
      RowLossArgs<float> args = results.args(problem);
      args.output = output.data() + offset;
      simt::Launcher launcher(2);
      launch_mse_loss(launcher, args);
      test::check_rows(problem, results, [&](std::int64_t row) {
        return test::mse_reference(problem, row, test::kKernelTolerance);
      });
    }
  }
}

TEST_CASE("mse: kernels give a gradient with its own scale and leave the loss alone") {
  const auto problem = test::random_problem<float>(4, 10, false, 3, 0.8, 0.5);
  test::RowResults<float> mean, own;
  simt::Launcher launcher(2);
  launch_mse_loss(launcher, mean.args(problem));
  RowLossArgs<float> args = own.args(problem);
  args.gradient_scale = 2.0;  // the mean's is 0.5 / 4: all powers of two, so that values are exact multiples
  launch_mse_loss(launcher, args);
  CHECK(own.sample_loss == mean.sample_loss);
  for (float& value : mean.gradient) value *= 16;
  CHECK(own.gradient == mean.gradient);
}

TEST_CASE("mse: kernels take batches beyond 65,535 rows") {
  const std::int64_t batch = 65600;
  const auto problem = test::random_problem<float>(batch, 1, false, 2);
  test::RowResults<float> results;
  simt::Launcher launcher(1);
  launch_mse_loss(launcher, results.args(problem));
  int wrong = 0;
  for (std::int64_t row = 0; row < batch; ++row) {
    const float r = 1.0f - problem.output[problem.at(row, 0)];
    if (results.residual_sq[static_cast<std::size_t>(row)] != r * r) ++wrong;
    const float gradient = results.gradient[problem.at(row, 0)] * static_cast<float>(batch);
    if (!(std::abs(gradient + r) <= 1e-6f * std::abs(r))) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("mse: kernels count no prediction with a NaN among the outputs, and ties for the first") {
  for (const std::int64_t classes : {4, 5, 130, 516, 600, 8196, 8193}) {
    for (const bool dense : {false, true}) {
      CAPTURE(classes, dense);
      // Row 0: NaN elsewhere; 1: NaN at the label; 2: tie, label first; 3: tie, label second; 4: all NaN.
      test::RowProblem<float> problem{5, classes, 1.0, {}, {}, {}};
      problem.output.assign(static_cast<std::size_t>(5 * classes), 0.0f);
      const std::int32_t last = static_cast<std::int32_t>(classes - 1);
      const std::vector<std::int32_t> labels = {1, last, 2, last, 0};
      problem.output[problem.at(0, 1)] = 1;
      problem.output[problem.at(0, 0)] = NAN;
      problem.output[problem.at(1, last)] = NAN;
      problem.output[problem.at(2, 2)] = problem.output[problem.at(2, last)] = 3;
      problem.output[problem.at(3, 2)] = problem.output[problem.at(3, last)] = 3;
      for (std::int64_t i = 0; i < classes; ++i) problem.output[problem.at(4, i)] = NAN;
      if (dense) {
        problem.targets.assign(problem.output.size(), 0.0f);
        for (std::size_t row = 0; row < 5; ++row) {
          problem.targets[problem.at(static_cast<std::int64_t>(row), labels[row])] = 1;
        }
      } else {
        problem.labels = labels;
      }
      test::RowResults<float> results;
      simt::Launcher launcher(2);
      launch_mse_loss(launcher, results.args(problem));
      CHECK(results.correct == std::vector<std::int32_t>{0, 0, 1, 0, 0});
      for (const std::size_t row : {0, 1, 4}) CHECK(std::isnan(results.residual_sq[row]));
      for (const std::size_t row : {2, 3}) CHECK(std::isfinite(results.residual_sq[row]));
    }
  }
}
