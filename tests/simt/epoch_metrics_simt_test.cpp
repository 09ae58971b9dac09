#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/epoch_metrics/epoch_metrics.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("epoch_metrics: the kernel adds batches to the epoch") {
  for (const std::uint64_t seed : simt::seeds()) {
    CAPTURE(seed);
    simt::Launcher launcher(seed);
    EpochMetrics metrics;
    double loss = 0, residual_sq = 0, last = 0;
    std::int64_t correct = 0, samples = 0;
    for (const std::int64_t batch :
         {64, 1, 256, 1003}) {  // fewer samples than the block has threads, and more
      const auto losses = random_values<float>(batch, static_cast<std::uint64_t>(batch), 0, 3);
      const auto residuals = random_values<float>(batch, static_cast<std::uint64_t>(7 * batch), 0, 2);
      std::vector<std::int32_t> hits;
      last = 0;
      for (std::size_t i = 0; i < losses.size(); ++i) {
        hits.push_back(i % 3 == 0 ? 1 : 0);
        last += losses[i];
        residual_sq += residuals[i];
        correct += hits.back();
      }
      launch_accumulate_metrics(launcher, batch, losses.data(), residuals.data(), hits.data(), false,
                                &metrics);
      loss += last;
      last /= static_cast<double>(batch);
      samples += batch;
    }
    check_close(std::vector<double>{metrics.loss, metrics.residual_sq, metrics.last_loss},
                {loss, residual_sq, last},
                1e-14);  // f64 sums of some hundreds of numbers in another order
    CHECK(metrics.correct == correct);
    CHECK(metrics.samples == samples);
    CHECK(metrics.steps == 4);
    CHECK(metrics.first_non_finite_step == -1);
  }
}

TEST_CASE("epoch_metrics: the kernel remembers the first step whose loss was not finite") {
  const std::vector<float> ok{1, 2}, broken{1, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::int32_t> hits{1, 0};
  for (const std::uint64_t seed : simt::seeds()) {
    CAPTURE(seed);
    simt::Launcher launcher(seed);
    EpochMetrics metrics;
    for (const std::vector<float>* loss : {&ok, &broken, &ok, &broken}) {
      launch_accumulate_metrics(launcher, 2, loss->data(), ok.data(), hits.data(), false, &metrics);
    }
    CHECK(metrics.first_non_finite_step == 1);
    CHECK(metrics.steps == 4);
    EpochMetrics halted;
    for (const std::vector<float>* loss : {&ok, &broken, &ok, &broken}) {
      launch_accumulate_metrics(launcher, 2, loss->data(), ok.data(), hits.data(), true, &halted);
    }
    CHECK(halted.first_non_finite_step == 1);
    CHECK(halted.steps == 2);
  }
}
