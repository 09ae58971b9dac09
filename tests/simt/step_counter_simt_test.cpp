#include <vector>

#include "kernels/step_counter/step_counter.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

TEST_CASE("step_counter: the kernel moves on by one step and one batch, and adds the gradient's norm") {
  qmse::simt::Launcher launcher(1);
  const std::vector<double> rates{0.5, 0.25, 0.125};
  qmse::StepCounter counter{
      .step = 41, .index = 0, .first = 100, .learning_rate = 0.5, .gradient_norm_sq = 3.0};
  qmse::EpochMetrics metrics;
  qmse::launch_advance(launcher, 64, rates.data(), false, &counter, &metrics);
  qmse::launch_advance(launcher, 10, rates.data(), false, &counter, &metrics);
  CHECK(counter.step == 43);
  CHECK(counter.index == 2);
  CHECK(counter.first == 174);
  CHECK(counter.learning_rate == 0.125);
  CHECK(counter.gradient_norm_sq == 3.0);
  CHECK(metrics.gradient_norm_sq == 6.0);
}

TEST_CASE("step_counter: the kernel stays where it is once halted, and has no rates while evaluating") {
  qmse::simt::Launcher launcher(1);
  qmse::StepCounter counter{.learning_rate = 0.5};
  qmse::EpochMetrics metrics;
  qmse::launch_advance(launcher, 8, nullptr, true, &counter, &metrics);
  CHECK(counter.first == 8);
  CHECK(counter.learning_rate == 0.5);
  metrics.first_non_finite_step = 0;
  qmse::launch_advance(launcher, 8, nullptr, true, &counter, &metrics);
  CHECK(counter.first == 8);
  qmse::launch_advance(launcher, 8, nullptr, false, &counter, &metrics);  // nothing halts here
  CHECK(counter.first == 16);
}
