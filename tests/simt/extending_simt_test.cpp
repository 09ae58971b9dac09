// The kernels of docs/extending.md through the executor.
#include <cmath>
#include <vector>

#include "tests/extending/quartic.cuh"
#include "tests/extending/softsign.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

TEST_CASE("extending: the example's kernels agree with their formulas") {
  for (const std::uint64_t seed : qmse::simt::seeds()) {
    for (const std::int64_t n : {0, 1, 255, 256, 1000}) {
      CAPTURE(seed, n);
      const auto size = static_cast<std::size_t>(n);
      std::vector<float> x(size), y(size), dx(size);
      for (std::size_t i = 0; i < size; ++i) x[i] = std::sin(static_cast<float>(i)) * 4.0f;
      qmse::simt::Launcher launcher(seed);
      example::launch_softsign_forward(launcher, n, x.data(), y.data());
      example::launch_softsign_backward(launcher, n, y.data(), x.data(), dx.data());
      for (std::size_t i = 0; i < size; ++i) {
        const double expected = x[i] / (1.0 + std::abs(static_cast<double>(x[i])));
        const double slope = 1.0 - std::abs(expected);
        CHECK(y[i] == Approx(expected).epsilon(1e-6));                            // two roundings in f32
        CHECK(dx[i] == Approx(x[i] * slope * slope).epsilon(3e-6).margin(1e-7));  // 1 - |y| cancels
      }
    }
  }
}

TEST_CASE("extending: the example's loss agrees with its formula for short and long rows") {
  for (const std::uint64_t seed : qmse::simt::seeds()) {
    for (const std::int64_t classes : {1, 10, 100, 3000}) {
      CAPTURE(seed, classes);
      const std::int64_t batch = 3;
      std::vector<float> output(static_cast<std::size_t>(batch * classes)), gradient(output.size());
      for (std::size_t i = 0; i < output.size(); ++i) output[i] = 0.1f * std::cos(static_cast<float>(i));
      const std::vector<std::int32_t> labels{0, static_cast<std::int32_t>(classes / 2),
                                             static_cast<std::int32_t>(classes - 1)};
      std::vector<float> loss(3), residual_sq(3);
      std::vector<std::int32_t> correct(3);
      std::vector<double> workspace(qmse::row_loss_workspace_bytes(batch, classes) / sizeof(double) + 2);
      qmse::RowLossArgs<float> args;
      args.batch = batch;
      args.classes = classes;
      args.output = output.data();
      args.labels = labels.data();
      args.gradient = gradient.data();
      args.sample_loss = loss.data();
      args.residual_sq = residual_sq.data();
      args.correct = correct.data();
      args.workspace = workspace.data();
      qmse::simt::Launcher launcher(seed);
      example::launch_quartic_loss(launcher, args);
      for (std::size_t row = 0; row < 3; ++row) {
        const auto at = [&](std::size_t i) {
          return (static_cast<std::int32_t>(i) == labels[row] ? 1.0 : 0.0) -
                 output[row * static_cast<std::size_t>(classes) + i];
        };
        double norm = 0;
        for (std::size_t i = 0; i < static_cast<std::size_t>(classes); ++i) norm += at(i) * at(i);
        const double inverse = 1.0 / static_cast<double>(classes);
        CHECK(loss[row] == Approx(0.25 * norm * norm + 0.5 * norm * inverse).epsilon(1e-5));
        for (std::size_t i = 0; i < static_cast<std::size_t>(classes); i += 7) {
          CHECK(gradient[row * static_cast<std::size_t>(classes) + i] ==
                Approx(-(norm + inverse) * at(i) / 3).epsilon(1e-5).margin(1e-9));
        }
      }
    }
  }
}
