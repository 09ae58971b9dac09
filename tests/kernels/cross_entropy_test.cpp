#include "kernels/cross_entropy/cross_entropy.h"

#include "tests/kernels/row_loss_checks.h"

namespace {

using namespace qmse;

const auto run = [](CpuContext& context, const auto& args) { cross_entropy_loss(context, args); };
const auto reference = [](const auto& problem, std::int64_t row, long double tolerance) {
  return test::cross_entropy_reference(problem, row, tolerance);
};

}  // namespace

// Outputs lie within 30 of each other: their differences, rounded, move exponentials by up to 30 * 2^-24.
TEST_CASE("cross_entropy: f32 matches the reference") {
  test::check_against_reference<float>(run, reference, 3.0, 6e-6L);
}

TEST_CASE("cross_entropy: f64 matches the reference") {
  test::check_against_reference<double>(run, reference, 3.0, 2e-14L);
}

TEST_CASE("cross_entropy: a row of a million outputs keeps f32's precision") {
  const auto problem = test::random_problem<float>(1, 1000000, false, 3);
  test::RowResults<float> results;
  CpuContext context(2);
  cross_entropy_loss(context, results.args(problem));
  test::check_rows(problem, results,
                   [&](std::int64_t row) { return test::cross_entropy_reference(problem, row, 6e-6L); });
}

TEST_CASE("cross_entropy: the gradient is the mean loss's by finite differences") {
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    const auto problem = test::random_problem<double>(3, 7, dense, 5, 1.5, 0.6);
    CpuContext context(1);
    test::RowResults<double> results;
    cross_entropy_loss(context, results.args(problem));
    test::check_finite_differences(problem, results.gradient, [&](const auto& moved) {
      test::RowResults<double> there;
      cross_entropy_loss(context, there.args(moved, false));
      return test::mean(there.sample_loss);
    });
  }
}

TEST_CASE("cross_entropy: outputs of any size neither overflow nor lose a small loss") {
  test::RowProblem<float> problem{3, 2, 1.0, {10000, -10000, -10000, 10000, 30, 0}, {0, 0, 0}, {}};
  test::RowResults<float> results;
  CpuContext context(1);
  cross_entropy_loss(context, results.args(problem));
  CHECK(results.sample_loss[0] == Approx(0).margin(1e-37));
  CHECK(results.sample_loss[1] == 20000.0f);
  CHECK(results.residual_sq[1] == Approx(2));
  CHECK(results.sample_loss[2] == Approx(std::log1p(std::exp(-30.0))));
  CHECK(results.residual_sq[2] == Approx(2 * std::exp(-60.0)));
}

TEST_CASE("cross_entropy: the same bits for every number of threads") {
  test::check_thread_independence<float>(run);
  test::check_thread_independence<double>(run);
}

TEST_CASE("cross_entropy: predictions are correct where the label's output is the first largest") {
  test::check_correct(run);
}

TEST_CASE("cross_entropy: arguments that do not fit together are refused") { test::check_refusals(run); }
