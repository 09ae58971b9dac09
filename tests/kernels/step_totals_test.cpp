#include "kernels/step_totals/step_totals.h"

#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/step_totals_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// What a training keeps between its steps.
struct Epoch {
  explicit Epoch(std::int64_t n, bool halting = false)
      : halts(halting), workspace(step_totals_workspace_bytes(n)) {}

  template <class T>
  void step(CpuContext& context, const StepNumbers<T>& numbers) {
    StepTotalsArgs<T> args = numbers.args();
    args.rates = rates.empty() ? nullptr : rates.data();
    args.halt_on_non_finite = halts;
    args.redraws = redraws;
    args.metrics = &metrics;
    args.counter = &counter;
    args.workspace = workspace.data();
    step_totals(context, args);
  }

  bool halts;
  std::uint32_t redraws = 0;
  std::vector<std::byte> workspace;
  std::vector<double> rates;
  EpochMetrics metrics;
  StepCounter counter;
};

template <class T>
void check_epoch() {
  CpuContext context(2);
  Epoch epoch(20000);
  double loss = 0, residual_sq = 0, norm_sq = 0;
  std::int64_t correct = 0, samples = 0, steps = 0;
  // Around a chunk of the norm and around a range of work.
  for (const std::int64_t n : {0, 1, 15, 16, 17, 4095, 4096, 4097, 16383, 16384, 16385, 20000}) {
    for (const std::int64_t batch : {64, 17, 1}) {
      CAPTURE(n, batch);
      const StepNumbers<T> numbers(batch, n, static_cast<std::uint64_t>(steps));
      epoch.step(context, numbers);
      loss += numbers.loss();
      residual_sq += numbers.residual_sq();
      norm_sq += numbers.norm_sq();
      correct += numbers.correct();
      samples += batch;
      ++steps;
      // 16 lanes of at most 256 squares, then some partial sums: rounding grows far slower than 1e-13.
      check_close(std::vector<double>{epoch.counter.gradient_norm_sq}, {numbers.norm_sq()}, 1e-13);
      CHECK(epoch.metrics.last_loss ==
            numbers.loss() / static_cast<double>(batch));  // the stated order: index order in f64
    }
  }
  CHECK(epoch.metrics.loss == loss);
  check_close(std::vector<double>{epoch.metrics.residual_sq, epoch.metrics.gradient_norm_sq},
              {residual_sq, norm_sq}, 1e-13);
  CHECK(epoch.metrics.correct == correct);
  CHECK(epoch.metrics.samples == samples);
  CHECK(epoch.metrics.steps == steps);
  CHECK(epoch.metrics.first_non_finite_step == -1);
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("step_totals: sums over steps, f32") { check_epoch<float>(); }
TEST_CASE("step_totals: sums over steps, f64") { check_epoch<double>(); }

TEST_CASE("step_totals: the counter moves on by one step and one batch, and the update has its step's rate") {
  CpuContext context(1);
  Epoch epoch(5);
  epoch.rates = {0.5, 0.25, 0.125};
  epoch.counter = {.step = 41, .index = 0, .first = 100, .learning_rate = 0.5};
  epoch.step(context, StepNumbers<float>(64, 5, 1));
  CHECK(epoch.counter.learning_rate == 0.25);
  CHECK(epoch.counter.update_rate == 0.5);
  CHECK(epoch.counter.update_step == 41);
  epoch.step(context, StepNumbers<float>(10, 5, 2));
  CHECK(epoch.counter.step == 43);
  CHECK(epoch.counter.index == 2);
  CHECK(epoch.counter.first == 174);
  CHECK(epoch.counter.learning_rate == 0.125);
  CHECK(epoch.counter.update_rate == 0.25);
  CHECK(epoch.counter.update_step == 42);
}

TEST_CASE("step_totals: evaluating there is no gradient and no learning rate") {
  CpuContext context(1);
  Epoch epoch(0);
  epoch.counter.learning_rate = 0.5;
  epoch.step(context, StepNumbers<float>(8, 0, 1));
  CHECK(epoch.counter.first == 8);
  CHECK(epoch.counter.learning_rate == 0.5);
  CHECK(epoch.counter.gradient_norm_sq == 0);
  CHECK(epoch.metrics.gradient_norm_sq == 0);
}

TEST_CASE("step_totals: remembers the first step whose loss or gradient was not finite, and halts at it") {
  CpuContext context(1);
  const StepNumbers<double> good(2, 3, 1);
  for (const double bad : {kNaN, kInfinity}) {
    for (const bool in_gradient : {false, true}) {
      for (const bool halts : {false, true}) {
        CAPTURE(bad, in_gradient, halts);
        StepNumbers<double> broken(2, 3, 2);
        (in_gradient ? broken.gradients : broken.losses)[1] = bad;
        Epoch epoch(3, halts);
        epoch.rates = std::vector<double>(9, 0.5);
        const StepNumbers<double>* const steps[] = {&good, &good, &broken, &good, &broken};
        for (const StepNumbers<double>* step : steps) epoch.step(context, *step);
        CHECK(epoch.metrics.first_non_finite_step == 2);
        CHECK(epoch.metrics.steps == (halts ? 3 : 5));  // the broken one is counted
        CHECK(epoch.metrics.samples == (halts ? 6 : 10));
        CHECK(epoch.counter.step == (halts ? 2u : 5u));  // and not left
        CHECK(epoch.counter.index == (halts ? 2u : 5u));
        CHECK(epoch.counter.first == (halts ? 4u : 10u));
        CHECK(epoch.counter.held == (halts ? 0 : -1));  // what the optimizer looks at
        if (halts) CHECK(epoch.metrics.gradient_norm_sq == Approx(2 * good.norm_sq()).epsilon(1e-13));
      }
    }
  }
}

TEST_CASE("step_totals: counts steps whose gradient is zero although a residual is not") {
  CpuContext context(1);
  StepNumbers<float> numbers(2, 3, 1);
  Epoch epoch(3);
  epoch.rates = std::vector<double>(9, 0.5);
  epoch.step(context, numbers);
  CHECK(epoch.metrics.null_steps == 0);
  numbers.gradients = {0, 1e-45f, 0};  // the smallest there is
  epoch.step(context, numbers);
  CHECK(epoch.metrics.null_steps == 0);
  numbers.gradients[1] = -0.0f;
  epoch.step(context, numbers);
  CHECK(epoch.metrics.null_steps == 1);
  numbers.residuals = {0, 0};  // there is nothing left to learn
  epoch.step(context, numbers);
  CHECK(epoch.metrics.null_steps == 1);
  CHECK(epoch.counter.step == 4);
}

TEST_CASE("step_totals: a step with a zero gradient is taken again so often, and then left") {
  CpuContext context(1);
  const StepNumbers<float> good(2, 3, 1);
  StepNumbers<float> null(2, 3, 2);
  null.gradients = {0, 0, 0};
  Epoch epoch(3);
  epoch.rates = std::vector<double>(9, 0.5);
  epoch.redraws = 2;
  epoch.step(context, good);
  CHECK(epoch.counter.held == -1);
  for (const std::uint32_t redraw : {1u, 2u}) {
    epoch.step(context, null);
    CHECK(epoch.counter.redraw == redraw);
    CHECK(epoch.counter.held == 0);  // the optimizer does nothing
    CHECK(epoch.counter.step == 1);
    CHECK(epoch.metrics.steps == 1);  // and nothing of it counts
    CHECK(epoch.metrics.loss == good.loss());
  }
  epoch.step(context, null);
  CHECK(epoch.counter.redraw == 0);
  CHECK(epoch.counter.held == -1);
  CHECK(epoch.counter.step == 2);
  CHECK(epoch.metrics.null_steps == 1);
  CHECK(epoch.metrics.redraws == 2);
  epoch.step(context, null);  // another step has its own
  CHECK(epoch.counter.redraw == 1);
  epoch.step(context, good);
  CHECK(epoch.counter.redraw == 0);
  CHECK(epoch.metrics.null_steps == 1);
  CHECK(epoch.metrics.redraws == 3);
}

TEST_CASE("step_totals: squares of f32 numbers do not overflow") {
  CpuContext context(1);
  StepNumbers<float> numbers(1, 3, 1);
  numbers.gradients.assign(3, 3e38f);
  Epoch epoch(3);
  epoch.step(context, numbers);
  CHECK(epoch.counter.gradient_norm_sq == Approx(27e76));
}

TEST_CASE("step_totals: the number of threads changes no bit") {
  const StepNumbers<float> numbers(64, 100003, 3);
  const auto norm_with = [&](int threads) {
    CpuContext context(threads);
    Epoch epoch(100003);
    epoch.step(context, numbers);
    return epoch.counter.gradient_norm_sq;
  };
  const double expected = norm_with(1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CHECK(norm_with(threads) == expected);
  }
}
