#include "kernels/step_counter/step_counter.h"

#include <vector>

#include "tests/support/catch.h"

TEST_CASE("step_counter: moves on by one step and one batch") {
  qmse::CpuContext context(1);
  const std::vector<double> rates{0.5, 0.25, 0.125};
  qmse::StepCounter counter{
      .step = 41, .index = 0, .first = 100, .learning_rate = 0.5, .gradient_norm_sq = 3.0};
  qmse::advance(context, 64, rates.data(), &counter);
  CHECK(counter.step == 42);
  CHECK(counter.index == 1);
  CHECK(counter.first == 164);
  CHECK(counter.learning_rate == 0.25);
  CHECK(counter.gradient_norm_sq == 3.0);
}
