#include <cmath>
#include <limits>

#include "kernels/cross_entropy/cross_entropy.h"
#include "tests/operations/row_loss_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Outputs lie within 30 of each other: their differences, rounded, move exponentials by up to 30 * 2^-24. In
// f64 a row is summed one output after the other.
const LossCase cross_entropy{3.0, 6e-6L, 4e-14L,
                             [](auto& device, const auto& args) { cross_entropy_loss(device.context, args); },
                             [](const auto& problem, std::int64_t row, Real eps) {
                               return cross_entropy_reference(problem, row, eps);
                             }};

}  // namespace

TEST_CASE("cross_entropy: value and gradient at every kind of row") {
  check_every_kind_of_row(cross_entropy);
}
TEST_CASE("cross_entropy: value and gradient in large batches of short rows") {
  check_large_batches(cross_entropy);
}
TEST_CASE("cross_entropy: value and gradient of rows of 100,003 and a million outputs") {
  check_long_rows(cross_entropy);
}
TEST_CASE("cross_entropy: the gradient is the mean loss's by finite differences") {
  LossCase narrow = cross_entropy;
  narrow.spread = 1.5;
  check_gradient(narrow);
}
TEST_CASE("cross_entropy: the same bits for every number of threads") {
  check_thread_independence<float>(cross_entropy);
  check_thread_independence<double>(cross_entropy);
}
TEST_CASE("cross_entropy: NaN outputs are never correct, and ties count for the first") {
  check_correct(cross_entropy);
}
TEST_CASE("cross_entropy: a gradient's own scale leaves the loss alone") {
  check_gradient_scale(cross_entropy);
}
TEST_CASE("cross_entropy: arguments that do not fit together are refused") { check_refusals(cross_entropy); }

TEST_CASE("cross_entropy: outputs of any size neither overflow nor lose a small loss") {
  Devices devices;
  devices.each(kOneOrder, [&](auto& device) {
    using D = std::decay_t<decltype(device)>;
    using T = typename D::Number;
    const RowProblem<T> problem{3, 2, 1.0, {10000, -10000, -10000, 10000, 30, 0}, {0, 0, 0}, {}};
    const RowsOn<D> rows(device, problem);
    cross_entropy_loss(device.context, rows.args);
    const RowResults<T> results = rows.results();
    CHECK(results.sample_loss[0] == Approx(0).margin(1e-37));
    CHECK(results.sample_loss[1] == T(20000));
    CHECK(results.residual_sq[1] == Approx(2));
    CHECK(results.sample_loss[2] == Approx(std::log1p(std::exp(-30.0))));
    CHECK(results.residual_sq[2] == Approx(2 * std::exp(-60.0)));
  });
}

TEST_CASE("cross_entropy: outputs of any size, minus infinity included") {
  Devices devices;
  for (const std::int64_t classes : {3, 130, 600, 8200}) {
    CAPTURE(classes);
    devices.each(kOneOrder, [&](auto& device) {
      using D = std::decay_t<decltype(device)>;
      using T = typename D::Number;
      auto problem = random_problem<T>(2, classes, false, 7);
      for (std::int64_t i = 0; i < classes; ++i) {
        problem.output[problem.at(0, i)] = i % 2 == 0 ? T(10000) : T(-10000);
        problem.output[problem.at(1, i)] = i == 1 ? T(0.5) : -std::numeric_limits<T>::infinity();
      }
      problem.labels = {0, 1};
      const RowsOn<D> rows(device, problem);
      cross_entropy_loss(device.context, rows.args);
      const RowResults<T> results = rows.results();
      const auto winners = static_cast<double>((classes + 1) / 2);
      CHECK(results.sample_loss[0] == Approx(std::log(winners)));
      CHECK(results.gradient[0] == Approx(0.5 / winners - 0.5));
      // The CPU's exponential in f32 is no less than the smallest normal number.
      CHECK(results.sample_loss[1] == Approx(0).margin(1e-33));
      CHECK(results.residual_sq[1] == T(0));
      CHECK(results.correct[1] == 1);
    });
  }
}
