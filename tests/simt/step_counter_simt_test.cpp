#include <vector>

#include "kernels/step_counter/step_counter.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

TEST_CASE("step_counter: the kernel moves on by one step and one batch") {
  const std::vector<double> rates{0.5, 0.25, 0.125};
  qmse::StepCounter counter{
      .step = 41, .index = 0, .first = 100, .learning_rate = 0.5, .gradient_norm_sq = 3.0};
  qmse::simt::Launcher launcher(1);
  qmse::launch_advance(launcher, 64, rates.data(), &counter);
  qmse::launch_advance(launcher, 10, rates.data(), &counter);
  CHECK(counter.step == 43);
  CHECK(counter.index == 2);
  CHECK(counter.first == 174);
  CHECK(counter.learning_rate == 0.125);
  CHECK(counter.gradient_norm_sq == 3.0);
}
