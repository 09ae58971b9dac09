#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/softmax/softmax.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("softmax: the kernels agree with the reference") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax}) {
      const bool log = kind == SoftmaxKind::log_softmax;
      // Rows for a warp and rows for a block; more rows than a block of warps; rows of broken groups.
      for (const auto& [rows, columns] : std::vector<std::pair<std::int64_t, std::int64_t>>{
               {1, 1}, {5, 10}, {9, 33}, {2, 1024}, {2, 1025}, {1, 1028}, {1, 5003}}) {
        CAPTURE(seed, log, rows, columns);
        const auto x = random_values<float>(rows * columns, 1, -4, 4),
                   dy = random_values<float>(rows * columns, 2);
        std::vector<float> y = x;  // in place
        simt::Launcher launcher(seed);
        launch_softmax_forward(launcher, kind, rows, columns, y.data(), y.data());
        // Shifts by up to 8 are rounded before exp; sums are f32, a dozen numbers a thread.
        const double tolerance = 16 * 1.2e-7;
        check_close(y,
                    log ? reference_log_softmax(columns, to_f64(x)) : reference_softmax(columns, to_f64(x)),
                    tolerance, log ? tolerance : 0);

        std::vector<float> dx = dy;  // in place
        launch_softmax_backward(launcher, kind, rows, columns, y.data(), dx.data(), dx.data());
        const Numbers expected = reference_softmax_backward_of_output(log, columns, y, dy);
        check_close(dx, expected, tolerance, tolerance);
      }
    }
  }
}

TEST_CASE("softmax: the kernels keep a NaN to its row and huge values from overflowing") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> x{3e38f, 3e38f, -3e38f, 1, nan, 2, -infinity, 0, 0};
  std::vector<float> y(x.size());
  simt::Launcher launcher(2);
  launch_softmax_forward(launcher, SoftmaxKind::softmax, 3, 3, x.data(), y.data());
  for (std::size_t j = 3; j < 6; ++j) {
    CHECK(std::isnan(y[j]));
    y[j] = 9;
  }
  CHECK(y == std::vector<float>{0.5f, 0.5f, 0, 9, 9, 9, 0, 0.5f, 0.5f});
}
