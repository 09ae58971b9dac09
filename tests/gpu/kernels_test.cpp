// The other handwritten operations against f64, at the shapes of the SIMT tests.
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/fill/fill.h"
#include "kernels/optimizer_step/rules.h"
#include "kernels/reduce/reduce.h"
#include "kernels/step_totals/step_totals.h"
#include "tests/gpu/device.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"
#include "tests/support/step_totals_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr double kEpsilon = 0x1p-23;
constexpr std::int64_t kSizes[] = {1, 3, 4, 5, 1023, 1024, 1025, 4096, 4103, 100001};

}  // namespace

TEST_CASE("kernels: additions, fills and the search for what is not finite", "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const std::int64_t n : kSizes) {
    for (const std::size_t offset : {0u, 1u}) {
      CAPTURE(n, offset);
      const auto x = random_values<float>(n, 1, -100, 100), y = random_values<float>(n, 2);
      const OnDevice<float> x_there(device, x, offset), y_there(device, y, offset);
      add(device, n, x_there.data(), y_there.data());
      const std::vector<float> added = y_there.values();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < added.size(); ++i) wrong += added[i] != x[i] + y[i] ? 1 : 0;
      CHECK(wrong == 0);

      const auto index = number_on_device<std::int64_t>(device, -5);
      first_non_finite(device, n, x_there.data(), index.data());
      CHECK(index.values()[0] == n);  // all are
      std::vector<float> damaged = x;
      damaged[static_cast<std::size_t>(n / 2)] = std::numeric_limits<float>::infinity();
      damaged[static_cast<std::size_t>(n - 1)] = std::numeric_limits<float>::quiet_NaN();
      const OnDevice<float> damaged_there(device, damaged, offset);
      first_non_finite(device, n, damaged_there.data(), index.data());
      CHECK(index.values()[0] == std::min(n / 2, n - 1));

      fill(device, n, 2.5f, x_there.data());
      CHECK(x_there.values() == std::vector<float>(x.size(), 2.5f));
    }
  }
}

TEST_CASE("kernels: SGD follows the reference for several steps, and stands still when halted", "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const SgdRule::Hyper& hyper : {SgdRule::Hyper{0, 0, false}, SgdRule::Hyper{0, 0.01, false},
                                      SgdRule::Hyper{0.9, 0.01, false}, SgdRule::Hyper{0.9, 0.01, true}}) {
    for (const std::int64_t n : {1, 4103, 100001}) {
      CAPTURE(hyper.momentum, hyper.weight_decay, hyper.nesterov, n);
      const auto start = random_values<float>(n, 1);
      const OnDevice<float> w(device, start), m(device, std::vector<float>(static_cast<std::size_t>(n)));
      ReferenceSgd reference{hyper.momentum, hyper.weight_decay, hyper.nesterov, to_f64(start)};
      const auto steps_taken = number_on_device<std::uint64_t>(device, 0);
      OptimizerArgs<float> args;
      args.step = steps_taken.data();
      for (int step = 0; step < 3; ++step) {
        const auto gradient = random_values<float>(n, 10 + static_cast<std::uint64_t>(step));
        const OnDevice<float> gradient_there(device, gradient);
        const auto rate = number_on_device(device, 0.1 / (1 + step));
        const auto halt = number_on_device<std::int64_t>(device, -1);
        args.n = n;
        args.weights = w.data();
        args.gradients = gradient_there.data();
        args.states[0] = hyper.momentum != 0 ? m.data() : nullptr;
        args.learning_rate = rate.data();
        args.held = halt.data();
        optimizer_step<SgdRule>(device, hyper, args);
        reference.step(to_f64(gradient), 0.1 / (1 + step));
        const std::vector<float> before = w.values();
        const auto halted = number_on_device<std::int64_t>(device, 0);
        args.held = halted.data();
        optimizer_step<SgdRule>(device, hyper, args);
        CHECK(w.values() == before);
      }
      check_close(w.values(), reference.w, 0, 8 * kEpsilon);
      if (hyper.momentum != 0) check_close(m.values(), reference.velocity, 0, 16 * kEpsilon);
    }
  }
}

TEST_CASE("kernels: Adam follows the reference for several steps, and stands still when halted",
          "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const AdamRule::Hyper& hyper : {AdamRule::Hyper{}, AdamRule::Hyper{0.8, 0.95, 1e-3, 0.05}}) {
    for (const std::int64_t n : {1, 4103, 100001}) {
      CAPTURE(hyper.beta1, n);
      const auto start = random_values<float>(n, 1);
      const std::vector<float> zeros(static_cast<std::size_t>(n));
      const OnDevice<float> w(device, start), m(device, zeros), s(device, zeros);
      ReferenceAdam reference{hyper.beta1, hyper.beta2, hyper.epsilon, hyper.weight_decay, to_f64(start)};
      OptimizerArgs<float> args;
      for (std::uint64_t step = 0; step < 3; ++step) {
        const auto gradient = random_values<float>(n, 10 + step);
        const double rate = 0.01 / static_cast<double>(1 + step);
        const OnDevice<float> gradient_there(device, gradient);
        const auto rate_there = number_on_device(device, rate);
        const auto step_there = number_on_device(device, step);
        const auto halt = number_on_device<std::int64_t>(device, -1);
        args.n = n;
        args.weights = w.data();
        args.gradients = gradient_there.data();
        args.states[0] = m.data();
        args.states[1] = s.data();
        args.step = step_there.data();
        args.learning_rate = rate_there.data();
        args.held = halt.data();
        optimizer_step<AdamRule>(device, hyper, args);
        reference.step(to_f64(gradient), rate);
        const std::vector<float> before = w.values();
        const auto halted = number_on_device<std::int64_t>(device, 0);
        args.held = halted.data();
        optimizer_step<AdamRule>(device, hyper, args);
        CHECK(w.values() == before);
      }
      check_close(w.values(), reference.w, 0, 4 * kEpsilon);
      check_close(m.values(), reference.m, 0, 4 * kEpsilon);
      check_close(s.values(), reference.v, 16 * kEpsilon);
    }
  }
}

TEST_CASE("kernels: RMSprop follows the reference for several steps, and stands still when halted",
          "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  using Hyper = RmspropRule::Hyper;
  for (const Hyper& hyper : {Hyper{}, Hyper{0.9, 1e-3, 0, 0.8, false}, Hyper{0.6, 1e-2, 0.05, 0, true},
                             Hyper{0.6, 1e-2, 0.05, 0.8, true}}) {
    for (const std::int64_t n : {1, 4103, 100001}) {
      CAPTURE(hyper.momentum, hyper.centered, n);
      const auto start = random_values<float>(n, 1);
      const std::vector<float> zeros(static_cast<std::size_t>(n));
      const OnDevice<float> w(device, start), s(device, zeros), buffer(device, zeros), average(device, zeros);
      ReferenceRmsprop reference{hyper.alpha,    hyper.epsilon,  hyper.weight_decay,
                                 hyper.momentum, hyper.centered, to_f64(start)};
      const auto steps_taken = number_on_device<std::uint64_t>(device, 0);
      OptimizerArgs<float> args;
      args.n = n;
      args.step = steps_taken.data();
      args.weights = w.data();
      args.states[0] = s.data();
      args.states[1] = hyper.momentum != 0 ? buffer.data() : nullptr;
      args.states[2] = hyper.centered ? average.data() : nullptr;
      for (int step = 0; step < 3; ++step) {
        const auto gradient = random_values<float>(n, 10 + static_cast<std::uint64_t>(step));
        const OnDevice<float> gradient_there(device, gradient);
        const double rate = 0.001 / (1 + step);
        const auto rate_there = number_on_device(device, rate);
        const auto halt = number_on_device<std::int64_t>(device, -1);
        args.gradients = gradient_there.data();
        args.learning_rate = rate_there.data();
        args.held = halt.data();
        optimizer_step<RmspropRule>(device, hyper, args);
        reference.step(to_f64(gradient), rate);
        const std::vector<float> before = w.values();
        const auto halted = number_on_device<std::int64_t>(device, 0);
        args.held = halted.data();
        optimizer_step<RmspropRule>(device, hyper, args);
        CHECK(w.values() == before);
      }
      check_close(w.values(), reference.w, 0, 16 * kEpsilon);
      check_close(s.values(), reference.v, 16 * kEpsilon);
      if (hyper.centered) check_close(average.values(), reference.average, 0, 8 * kEpsilon);
    }
  }
}

TEST_CASE("kernels: a step's totals are the references', and the step counter moves on", "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const std::int64_t n : {0, 1, 4097, 100001}) {
    for (const std::size_t offset : {0u, 1u}) {
      CAPTURE(n, offset);
      const StepNumbers<float> numbers(1003, n, 1);
      const OnDevice<float> losses(device, numbers.losses), residuals(device, numbers.residuals),
          gradients(device, numbers.gradients, offset);
      const OnDevice<std::int32_t> hits(device, numbers.hits);
      const OnDevice<double> rates(device, {0.5, 0.25, 0.125});
      const auto metrics = number_on_device(device, EpochMetrics{});
      const auto counter = number_on_device(device, StepCounter{.step = 41, .learning_rate = 0.5});
      const OnDevice<char> workspace(device, std::vector<char>(step_totals_workspace_bytes(n)));
      StepTotalsArgs<float> args = numbers.args();
      args.sample_loss = losses.data();
      args.residual_sq = residuals.data();
      args.correct = hits.data();
      args.gradients = gradients.data();
      args.rates = rates.data();
      args.halt_on_non_finite = true;
      args.metrics = metrics.data();
      args.counter = counter.data();
      args.workspace = workspace.data();
      const auto at = static_cast<std::uint64_t>(args.batch);
      step_totals(device, args);
      const double norm_sq = counter.values()[0].gradient_norm_sq;
      step_totals(device, args);
      const EpochMetrics sums = metrics.values()[0];
      StepCounter moved = counter.values()[0];
      check_close(std::vector<double>{sums.loss, sums.residual_sq, sums.last_loss, norm_sq},
                  {2 * numbers.loss(), 2 * numbers.residual_sq(),
                   numbers.loss() / static_cast<double>(args.batch), numbers.norm_sq()},
                  1e-13);
      CHECK(moved.gradient_norm_sq == norm_sq);  // the same bits again
      CHECK(sums.gradient_norm_sq == norm_sq + norm_sq);
      CHECK(sums.correct == 2 * numbers.correct());
      CHECK(sums.samples == 2 * args.batch);
      CHECK(sums.first_non_finite_step == -1);
      CHECK(moved.step == 43);
      CHECK(moved.index == 2);
      CHECK(moved.first == 2 * at);
      CHECK(moved.learning_rate == 0.125);
      CHECK(moved.update_rate == 0.25);
      CHECK(moved.update_step == 42);
      if (n == 0) continue;
      auto overflowed = numbers.gradients;
      overflowed.back() = INFINITY;
      const OnDevice<float> overflowed_there(device, overflowed, offset);
      args.gradients = overflowed_there.data();
      step_totals(device, args);
      CHECK(metrics.values()[0].first_non_finite_step == 2);
      moved = counter.values()[0];
      CHECK(moved.step == 43);
      CHECK(moved.first == 2 * at);
    }
  }
}
