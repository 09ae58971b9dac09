#include <limits>
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

TEST_CASE(
    "step_counter: in the kernel, a gradient whose norm is not finite is a step that is not left where that "
    "halts") {
  qmse::simt::Launcher launcher(1);
  for (const double norm_sq :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const bool halts : {true, false}) {
      CAPTURE(norm_sq, halts);
      qmse::StepCounter counter{.step = 7, .index = 2, .first = 16, .gradient_norm_sq = norm_sq};
      qmse::EpochMetrics metrics;
      metrics.steps = 3;  // accumulate_metrics has counted this one
      const std::vector<double> rates(5, 0.5);
      qmse::launch_advance(launcher, 8, rates.data(), halts, &counter, &metrics);
      CHECK(metrics.first_non_finite_step == 2);
      CHECK(counter.index == (halts ? 2u : 3u));
      CHECK(counter.first == (halts ? 16u : 24u));
    }
  }
}
