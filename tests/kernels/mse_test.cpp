#include "kernels/mse/mse.h"

#include "tests/kernels/row_loss_checks.h"

namespace {

using namespace qmse;

const auto run = [](CpuContext& context, const auto& args) { mse_loss(context, args); };
const auto reference = [](const auto& problem, std::int64_t row, long double tolerance) {
  return test::mse_reference(problem, row, tolerance);
};

}  // namespace

TEST_CASE("mse: f32 matches the reference") { test::check_against_reference<float>(run, reference, 0.8); }

TEST_CASE("mse: f64 matches the reference") { test::check_against_reference<double>(run, reference, 0.8); }

TEST_CASE("mse: a row of a million outputs keeps f32's precision") {
  const auto problem = test::random_problem<float>(1, 1000000, false, 3);
  test::RowResults<float> results;
  CpuContext context(2);
  mse_loss(context, results.args(problem));
  test::check_rows(problem, results, [&](std::int64_t row) {
    return test::mse_reference(problem, row, test::kCpuTolerance<float>);
  });
}

TEST_CASE("mse: the gradient is the mean loss's by finite differences") {
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    const auto problem = test::random_problem<double>(3, 7, dense, 5, 0.8, 0.6);
    CpuContext context(1);
    test::RowResults<double> results;
    mse_loss(context, results.args(problem));
    test::check_finite_differences(problem, results.gradient, [&](const auto& moved) {
      test::RowResults<double> there;
      mse_loss(context, there.args(moved, false));
      return test::mean(there.sample_loss);
    });
  }
}

TEST_CASE("mse: the same bits for every number of threads") {
  test::check_thread_independence<float>(run);
  test::check_thread_independence<double>(run);
}

TEST_CASE("mse: predictions are correct where the label's output is the first largest") {
  test::check_correct(run);
}

TEST_CASE("mse: arguments that do not fit together are refused") { test::check_refusals(run); }
