#include "kernels/step_totals/step_totals.cuh"

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/step_totals_case.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct Epoch {
  explicit Epoch(std::int64_t n, bool halting = false)
      : halts(halting), workspace(step_totals_workspace_bytes(n) / sizeof(double)) {}

  void step(simt::Context& gpu, const StepNumbers<float>& numbers, std::size_t offset = 0) {
    Placed gradients(numbers.gradients, offset);
    StepTotalsArgs<float> args = numbers.args();
    args.gradients = gradients.data();
    args.rates = rates.empty() ? nullptr : rates.data();
    args.halt_on_non_finite = halts;
    args.redraws = redraws;
    args.metrics = &metrics;
    args.counter = &counter;
    args.workspace = workspace.data();
    step_totals(gpu, args);
  }

  bool halts;
  std::uint32_t redraws = 0;
  std::vector<double> workspace;
  std::vector<double> rates;
  EpochMetrics metrics;
  StepCounter counter;
};

// The sums in the order that is documented to be theirs: threads' strides, then a warp's tree, then the
// warps.
template <class Part>
double in_kernel_order(unsigned threads, const Part& part) {
  double total = 0;
  for (unsigned warp = 0; warp < threads / 32; ++warp) {
    double lanes[32];
    for (unsigned lane = 0; lane < 32; ++lane) lanes[lane] = part(32 * warp + lane);
    for (unsigned distance = 16; distance > 0; distance /= 2) {
      for (unsigned lane = 0; lane < distance; ++lane) lanes[lane] += lanes[lane + distance];
    }
    total = warp == 0 ? lanes[0] : total + lanes[0];
  }
  return total;
}

double norm_in_kernel_order(const std::vector<float>& x) {
  const auto square = [&](std::size_t i) {
    return i < x.size() ? static_cast<double>(x[i]) * static_cast<double>(x[i]) : 0;
  };
  std::vector<double> partials;
  for (std::size_t begin = 0; begin < x.size(); begin += kFlatChunk) {
    partials.push_back(in_kernel_order(512, [&](unsigned thread) {
      double sum = 0;
      for (std::size_t group = 0; group < 2; ++group) {
        for (std::size_t k = 0; k < 4; ++k) sum += square(begin + 4 * (512 * group + thread) + k);
      }
      return sum;
    }));
  }
  return in_kernel_order(512, [&](unsigned thread) {
    double sum = 0;
    for (std::size_t i = thread; i < partials.size(); i += 512) sum += partials[i];
    return sum;
  });
}

double batch_in_kernel_order(const std::vector<float>& x) {
  return in_kernel_order(256, [&](unsigned thread) {
    double sum = 0;
    for (std::size_t i = thread; i < x.size(); i += 256) sum += static_cast<double>(x[i]);
    return sum;
  });
}

}  // namespace

TEST_CASE("step_totals: one kernel sums in its documented order, whichever block is done last") {
  for (const std::uint64_t seed : simt::seeds()) {
    simt::Context gpu(seed);
    Epoch epoch(9001);
    double loss = 0, residual_sq = 0, norm_sq = 0;
    std::int64_t correct = 0, samples = 0, steps = 0;
    for (const std::int64_t n : {0, 1, 3, 4, 5, 4095, 4096, 4097, 9001}) {
      for (const std::size_t offset : {0u, 1u}) {
        // Fewer samples than the block has threads, and more.
        const std::int64_t batches[] = {64, 1, 256, 1003};
        const std::int64_t batch = batches[steps % 4];
        CAPTURE(seed, n, offset, batch);
        const StepNumbers<float> numbers(batch, n, static_cast<std::uint64_t>(steps));
        epoch.step(gpu, numbers, offset);
        CHECK(epoch.counter.gradient_norm_sq == norm_in_kernel_order(numbers.gradients));
        CHECK(epoch.metrics.last_loss == batch_in_kernel_order(numbers.losses) / static_cast<double>(batch));
        check_close(std::vector<double>{epoch.counter.gradient_norm_sq, epoch.metrics.last_loss},
                    {numbers.norm_sq(), numbers.loss() / static_cast<double>(batch)}, 1e-14);
        loss += batch_in_kernel_order(numbers.losses);
        residual_sq += batch_in_kernel_order(numbers.residuals);
        norm_sq += norm_in_kernel_order(numbers.gradients);
        correct += numbers.correct();
        samples += batch;
        ++steps;
      }
    }
    CHECK(epoch.metrics.loss == loss);
    CHECK(epoch.metrics.residual_sq == residual_sq);
    CHECK(epoch.metrics.gradient_norm_sq == norm_sq);
    CHECK(epoch.metrics.correct == correct);
    CHECK(epoch.metrics.samples == samples);
    CHECK(epoch.metrics.steps == steps);
    CHECK(epoch.metrics.first_non_finite_step == -1);
  }
}

TEST_CASE("step_totals: more chunks than the last block has threads are all added") {
  const std::int64_t n = 600 * kFlatChunk - 5;
  StepNumbers<float> numbers(3, 0, 1);
  numbers.gradients.assign(static_cast<std::size_t>(n), 2.0f);
  simt::Context gpu(1);
  Epoch epoch(n);
  epoch.step(gpu, numbers);
  CHECK(epoch.counter.gradient_norm_sq == 4.0 * static_cast<double>(n));
}

TEST_CASE("step_totals: the kernel moves the counter on, and the update has its step's rate") {
  simt::Context gpu(1);
  Epoch epoch(5);
  epoch.rates = {0.5, 0.25, 0.125};
  epoch.counter = {.step = 41, .index = 0, .first = 100, .learning_rate = 0.5};
  epoch.step(gpu, StepNumbers<float>(64, 5, 1));
  epoch.step(gpu, StepNumbers<float>(10, 5, 2));
  CHECK(epoch.counter.step == 43);
  CHECK(epoch.counter.index == 2);
  CHECK(epoch.counter.first == 174);
  CHECK(epoch.counter.learning_rate == 0.125);
  CHECK(epoch.counter.update_rate == 0.25);
  CHECK(epoch.counter.update_step == 42);
}

TEST_CASE("step_totals: the kernel halts at the first step whose loss or gradient is not finite") {
  const StepNumbers<float> good(2, 4097, 1);
  for (const std::uint64_t seed : simt::seeds()) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      for (const bool in_gradient : {false, true}) {
        for (const bool halts : {false, true}) {
          CAPTURE(seed, bad, in_gradient, halts);
          StepNumbers<float> broken(2, 4097, 2);
          (in_gradient ? broken.gradients : broken.losses).back() = bad;
          simt::Context gpu(seed);
          Epoch epoch(4097, halts);
          const StepNumbers<float>* const steps[] = {&good, &broken, &good, &broken};
          for (const StepNumbers<float>* step : steps) epoch.step(gpu, *step);
          CHECK(epoch.metrics.first_non_finite_step == 1);
          CHECK(epoch.metrics.steps == (halts ? 2 : 4));
          CHECK(epoch.counter.step == (halts ? 1u : 4u));
          CHECK(epoch.counter.first == (halts ? 2u : 8u));
        }
      }
    }
  }
}

TEST_CASE("step_totals: the kernel counts zero gradients, and has such a step taken again") {
  for (const std::uint64_t seed : simt::seeds()) {
    CAPTURE(seed);
    simt::Context gpu(seed);
    StepNumbers<float> null(2, 4097, 2);
    null.gradients.assign(4097, 0.0f);
    Epoch epoch(4097);
    epoch.redraws = 1;
    epoch.step(gpu, null);
    CHECK(epoch.counter.redraw == 1);
    CHECK(epoch.counter.held == 0);
    CHECK(epoch.counter.step == 0);
    epoch.step(gpu, null);
    CHECK(epoch.counter.redraw == 0);
    CHECK(epoch.counter.held == -1);
    CHECK(epoch.counter.step == 1);
    CHECK(epoch.metrics.null_steps == 1);
    CHECK(epoch.metrics.redraws == 1);
    null.gradients.back() = 1e-45f;
    epoch.step(gpu, null);
    CHECK(epoch.metrics.null_steps == 1);
    CHECK(epoch.counter.step == 2);
  }
}
