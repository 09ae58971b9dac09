#include "kernels/epoch_metrics/epoch_metrics.h"

#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"

using namespace qmse;
using namespace qmse::test;

namespace {

template <class T>
void check_epoch() {
  CpuContext context(2);
  EpochMetrics metrics;
  double loss = 0, residual_sq = 0, last = 0;
  std::int64_t correct = 0, samples = 0, steps = 0;
  for (const std::int64_t batch : {64, 64, 17, 1}) {
    const auto losses = random_values<T>(batch, static_cast<std::uint64_t>(batch + steps), 0, 3);
    const auto residuals = random_values<T>(batch, static_cast<std::uint64_t>(100 + batch), 0, 2);
    std::vector<std::int32_t> hits;
    double sum = 0;
    for (std::int64_t i = 0; i < batch; ++i) {
      hits.push_back(i % 3 == 0 ? 1 : 0);
      sum += static_cast<double>(losses[static_cast<std::size_t>(i)]);
      residual_sq += static_cast<double>(residuals[static_cast<std::size_t>(i)]);
      correct += hits.back();
    }
    accumulate_metrics(context, batch, losses.data(), residuals.data(), hits.data(), false, &metrics);
    loss += sum;
    last = sum / static_cast<double>(batch);
    samples += batch;
    ++steps;
    CHECK(metrics.last_loss == last);  // the stated order: index order in f64
  }
  CHECK(metrics.loss == loss);
  check_close(std::vector<double>{metrics.residual_sq}, {residual_sq}, 1e-14);
  CHECK(metrics.gradient_norm_sq == 0);  // not known yet: advance() adds it
  CHECK(metrics.correct == correct);
  CHECK(metrics.samples == samples);
  CHECK(metrics.steps == steps);
  CHECK(metrics.first_non_finite_step == -1);
}

}  // namespace

TEST_CASE("epoch_metrics: sums over batches, f32") { check_epoch<float>(); }
TEST_CASE("epoch_metrics: sums over batches, f64") { check_epoch<double>(); }

TEST_CASE("epoch_metrics: remembers the first step whose loss was not finite") {
  CpuContext context(1);
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> ok{1, 2}, broken{1, nan}, overflown{infinity, 1};
  const std::vector<std::int32_t> hits{1, 0};
  for (const std::vector<float>& bad : {broken, overflown}) {
    EpochMetrics metrics;
    for (const std::vector<float>* loss : {&ok, &ok, &bad, &ok, &broken}) {
      accumulate_metrics(context, 2, loss->data(), ok.data(), hits.data(), false, &metrics);
    }
    CHECK(metrics.first_non_finite_step == 2);
    CHECK(metrics.steps == 5);
    CHECK(metrics.correct == 5);
  }
}

TEST_CASE("epoch_metrics: halted, it adds nothing after a loss that was not finite") {
  CpuContext context(1);
  const std::vector<float> ok{1, 2}, broken{1, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::int32_t> hits{1, 0};
  EpochMetrics metrics;
  for (const std::vector<float>* loss : {&ok, &broken, &ok, &broken}) {
    accumulate_metrics(context, 2, loss->data(), ok.data(), hits.data(), true, &metrics);
  }
  CHECK(metrics.first_non_finite_step == 1);
  CHECK(metrics.steps == 2);
  CHECK(metrics.samples == 4);
}
