// The operations of docs/extending.md, on every device.
#include <cmath>

#include "kernels/residual_loss/residual_loss.h"
#include "tests/extending/huber.h"
#include "tests/extending/softsign.h"
#include "tests/operations/row_loss_cases.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("extending: the example's operation agrees with its formula") {
  Devices devices;
  for (const std::int64_t n : {0, 1, 255, 256, 1000, 40001}) {
    CAPTURE(n);
    devices.each(n, [&](auto& device) {
      using D = std::decay_t<decltype(device)>;
      using T = typename D::Number;
      const auto x = random_values<T>(n, 1, -4, 4), dy = random_values<T>(n, 2);
      const auto x_there = device.array(x), dy_there = device.array(dy);
      const auto y = device.template unwritten<T>(n), dx = device.template unwritten<T>(n);
      example::softsign_forward(device.context, n, x_there.data(), y.data());
      example::softsign_backward(device.context, n, y.data(), dy_there.data(), dx.data());
      std::vector<double> expected_y, expected_dx;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double value = x[i] / (1.0 + std::abs(static_cast<double>(x[i])));
        const double slope = 1.0 - std::abs(value);
        expected_y.push_back(value);
        expected_dx.push_back(dy[i] * slope * slope);
      }
      check_close(y.values(), expected_y, 4 * D::kEpsilon);                  // two roundings
      check_close(dx.values(), expected_dx, 24 * D::kEpsilon, D::kEpsilon);  // 1 - |y| cancels
    });
  }
}

TEST_CASE("extending: the example's loss agrees with its formula for short and long rows") {
  const LossCase huber{
      1.5, 1e-5L, 1e-13L,
      [](auto& device, const auto& args) { residual_loss<example::HuberRule>(device.context, args); },
      [](const auto& problem, std::int64_t row, Real eps) {
        RowReference reference;
        Real loss = 0;
        const Real scale = problem.scale / static_cast<Real>(problem.batch);
        for (std::int64_t i = 0; i < problem.classes; ++i) {
          const Real r = problem.r(row, i), size = std::abs(r);
          loss += size <= 1 ? r * r / 2 : size - Real(0.5);
          const Real g = -scale * (size <= 1 ? r : r / size);
          reference.gradient.push_back({g, eps * std::abs(g)});
        }
        const Real residual_sq = reference_residual_sq(problem, row);
        reference.loss = {problem.scale * loss, eps * problem.scale * loss};
        reference.residual_sq = {residual_sq, eps * residual_sq};
        reference.correct = first_largest(problem, row, false) == first_largest(problem, row, true);
        return reference;
      }};
  Devices devices;
  for (const RowShape& shape :
       {RowShape{3, 1}, RowShape{33, 10}, RowShape{3, 100}, RowShape{2, 3000}, RowShape{1, 9001}}) {
    for (const bool dense : {false, true}) {
      check_shape(devices, huber, shape, {dense, true, true}, shape.batch * shape.classes);
    }
  }
}
