// The losses that are rules: each of the list with a reference of its own.
#include <cmath>

#include "kernels/residual_loss/rules.h"
#include "tests/operations/row_loss_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

const LossCase mse{0.8, kSumTolerance, kF64SumTolerance,
                   [](auto& device, const auto& args) { residual_loss<MseRule>(device.context, args); },
                   [](const auto& problem, std::int64_t row, Real eps) {
                     return residual_reference(
                         problem, row, eps, [](Real s) { return s / 2; }, [](Real) { return Real(-1); });
                   }};

const LossCase qmse_expected{
    0.5, kSumTolerance, kF64SumTolerance,
    [](auto& device, const auto& args) { residual_loss<QmseExpectedRule>(device.context, args); },
    [](const auto& problem, std::int64_t row, Real eps) {
      const Real c = static_cast<Real>(problem.classes);
      return residual_reference(
          problem, row, eps, [c](Real s) { return (s * s + s / c) / 2; },
          [c](Real s) { return -(s + 1 / c); });
    }};

}  // namespace

TEST_CASE("mse: value and gradient at every kind of row") { check_every_kind_of_row(mse); }
TEST_CASE("mse: value and gradient in large batches of short rows") { check_large_batches(mse); }
TEST_CASE("mse: value and gradient of rows of 100,003 and a million outputs") { check_long_rows(mse); }
TEST_CASE("mse: the gradient is the mean loss's by finite differences") { check_gradient(mse); }
TEST_CASE("mse: the same bits for every number of threads") {
  check_thread_independence<float>(mse);
  check_thread_independence<double>(mse);
}
TEST_CASE("mse: NaN outputs are never correct, and ties count for the first") { check_correct(mse); }
TEST_CASE("mse: a gradient's own scale leaves the loss alone") { check_gradient_scale(mse); }
TEST_CASE("mse: arguments that do not fit together are refused") { check_refusals(mse); }

TEST_CASE("mse: rows that are multiples of four but not aligned to vectors") {
  Devices devices;
  for (const std::int64_t classes : {8, 100, 260, 1024, 8200}) {
    for (const std::size_t offset : {1u, 2u, 3u}) {
      check_shape(devices, mse, {3, classes}, {false, true, true, offset}, kOneOrder);
    }
  }
}

TEST_CASE("mse: batches beyond 65,535 rows") {
  Devices devices;
  devices.each(kOneOrder, [&](auto& device) { check_rows_on(mse, device, {65600, 1}, {}); });
}

TEST_CASE("qmse_expected: value and gradient at every kind of row") {
  check_every_kind_of_row(qmse_expected);
}
TEST_CASE("qmse_expected: value and gradient in large batches of short rows") {
  check_large_batches(qmse_expected);
}
TEST_CASE("qmse_expected: value and gradient of rows of 100,003 and a million outputs") {
  check_long_rows(qmse_expected);
}
TEST_CASE("qmse_expected: the same bits for every number of threads") {
  check_thread_independence<float>(qmse_expected);
  check_thread_independence<double>(qmse_expected);
}
TEST_CASE("qmse_expected: NaN outputs are never correct, and ties count for the first") {
  check_correct(qmse_expected);
}
TEST_CASE("qmse_expected: a gradient's own scale leaves the loss alone") {
  check_gradient_scale(qmse_expected);
}
TEST_CASE("qmse_expected: arguments that do not fit together are refused") { check_refusals(qmse_expected); }
