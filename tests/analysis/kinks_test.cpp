#include "analysis/critical/kinks.h"

#include <cmath>

#include "analysis/landscape/width.h"
#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

Samples random_samples(std::int64_t count, std::int64_t inputs, std::uint64_t seed) {
  Samples samples = make_samples(count, inputs, 1);
  RandomStream random(seed, RandomPurpose::test);
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < inputs; ++k) samples.input(n, k) = random.normal();
    samples.target(n, 0) = random.normal();
  }
  return samples;
}

}  // namespace

// f = z a(w x) without biases at w = 0: every sample is on the kink. The subdifferential's part of w is the
// interval of z (1/N) sum_n slope_n e_n x_n over slopes in [leak, 1], worked out by hand below.
TEST_CASE("kinks: the Clarke residual of one unit at 0 is the distance of 0 to an interval") {
  for (const double target_sum : {1.0, -1.0}) {
    Samples samples = make_samples(3, 1, 1);
    const double x[] = {1, 2, 3}, y[] = {1 * target_sum, -0.05, 0.5 * target_sum};
    double low = 0, high = 0;
    for (int n = 0; n < 3; ++n) {
      samples.input(n, 0) = x[n];
      samples.target(n, 0) = y[n];
      const double full = 2 * (0 - y[n]) * x[n] / 3;  // z = 2, f = 0
      low += std::min(0.25 * full, full);
      high += std::max(0.25 * full, full);
    }
    const double expected = low > 0 ? low : high < 0 ? -high : 0;
    Mlp network(
        {.widths = {1, 1, 1}, .activation = HiddenActivation::leaky_relu, .leak = 0.25, .biases = false}, {},
        samples);
    const KinkReport report = examine_kinks(network, std::vector<double>{0, 2});
    CHECK(report.kinks == 3);
    CHECK(*report.clarke == Approx(expected).margin(1e-14));
    CHECK(report.gradient >= expected);
    CHECK(report.min_pre_activation == 0);
  }
}

TEST_CASE(
    "kinks: without kinks the residual is the gradient's norm, with smooth activations there are none") {
  const Samples samples = random_samples(11, 3, 2);
  for (const HiddenActivation activation : {HiddenActivation::leaky_relu, HiddenActivation::tanh}) {
    Mlp network({.widths = {3, 4, 1}, .activation = activation}, {}, samples);
    RandomStream random(3, RandomPurpose::test);
    std::vector<double> w;
    for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(random.normal());
    const KinkReport report = examine_kinks(network, w);
    CHECK(report.kinks == 0);
    CHECK(*report.clarke == report.gradient);
  }
  Mlp linear({.widths = {3, 1}}, {}, samples);
  CHECK_THROWS_AS(examine_kinks(linear, std::vector<double>(4)), ShapeError);
}

// Soudry and Carmon: with noise on the slopes A o X has full column rank for almost all data, where units x
// columns >= N; without it samples with the same pattern of active units span no more than the columns of
// (x, 1).
TEST_CASE(
    "kinks: A o X has full rank with noise on the slopes, and not without where one pattern has most "
    "samples") {
  const Samples samples = random_samples(11, 3, 2);
  const MlpShape shape{.widths = {3, 4, 1}, .activation = HiddenActivation::leaky_relu};
  RandomStream random(3, RandomPurpose::test);
  std::vector<double> w, factors;
  for (std::int64_t i = 0; i < shape.parameters(); ++i) w.push_back(0.1 * random.normal());
  for (std::int64_t i = 0; i < 4; ++i)
    w[static_cast<std::size_t>(shape.bias_offset(1) + i)] = 10;  // all active
  for (std::int64_t i = 0; i < 4 * samples.stride; ++i) factors.push_back(1 + 0.1 * random.normal());
  Mlp plain(shape, {}, samples);
  Mlp noisy(shape, {.loss = MlpLoss::mse, .weight_decay = 0, .slope_factors = factors}, samples);
  CHECK(examine_kinks(plain, w).rank == 4);
  CHECK(examine_kinks(noisy, w).rank == 11);
  CHECK(*examine_kinks(noisy, w).smallest_singular > 1e-4);
}

TEST_CASE("kinks: a deeper network's kinks are counted, its residual is not claimed") {
  const Samples samples = random_samples(5, 2, 4);
  Mlp network({.widths = {2, 2, 2, 1}, .activation = HiddenActivation::relu}, {}, samples);
  std::vector<double> w(network.parameters(), 0.0);
  w.back() = 0.3;
  const KinkReport report = examine_kinks(network, w);
  CHECK(report.kinks == 20);  // all pre-activations are 0
  CHECK_FALSE(report.clarke.has_value());
}

TEST_CASE("trap: the affine trap is differentiable, stationary and the best affine fit at every width") {
  for (const std::int64_t width : {1, 3, 8}) {
    const Samples samples = random_samples(30, 4, 9);
    Mlp network({.widths = {4, width, 1}, .activation = HiddenActivation::leaky_relu}, {}, samples);
    const std::vector<double> w = affine_trap(network, 5);
    const KinkReport report = examine_kinks(network, w);
    CAPTURE(width);
    CHECK(report.kinks == 0);
    CHECK(report.gradient < 1e-13);
    CHECK(report.min_pre_activation == Approx(0.5).epsilon(1e-9));
    CHECK(report.rank == 5);  // all slopes 1: the rank of (x, 1)
    // No affine function is better: a linear network from the trap's loss does not improve.
    Mlp affine({.widths = {4, 1}}, {}, samples);
    std::vector<double> fit(5), gradient(5);
    for (int step = 0; step < 20000; ++step) {
      affine.gradient(fit, gradient);
      for (std::size_t i = 0; i < 5; ++i) fit[i] -= 0.2 * gradient[i];
    }
    CHECK(network.loss(w) == Approx(affine.loss(fit)).epsilon(1e-12));
    // A local minimum: no small step lowers the loss by more than rounding.
    RandomStream random(6, RandomPurpose::test);
    for (int direction = 0; direction < 50; ++direction) {
      std::vector<double> near = w;
      for (double& value : near) value += 1e-3 * random.normal();
      CHECK(network.loss(near) >= network.loss(w) - 1e-15);
    }
  }
  const Samples samples = random_samples(30, 4, 9);
  Mlp smooth({.widths = {4, 3, 1}, .activation = HiddenActivation::tanh}, {}, samples);
  CHECK_THROWS_AS(affine_trap(smooth, 1), ConfigError);
}

TEST_CASE(
    "thesis schedule: a loss that stands still halves the step after 40 and each further 50 steps, then "
    "ends") {
  ThesisSchedule schedule(1.0, 100, 30000);
  std::vector<double> lengths;
  for (double length = schedule.next(0.5); length > 0; length = schedule.next(0.5)) lengths.push_back(length);
  // 100 constant ones; after that the loss is compared from its second step on.
  for (std::size_t i = 0; i < 141; ++i) CHECK(lengths[i] == 1);
  CHECK(lengths[141] == 0.5);
  CHECK(lengths[141 + 48] == 0.5);
  CHECK(lengths[141 + 50] == 0.25);
  CHECK(lengths.back() == 1e-7);
  CHECK(lengths.size() == 100 + 10000);  // patience of the stopping, counted anew
  // A loss that keeps falling keeps the step.
  ThesisSchedule falling(1.0, 100, 200);
  double loss = 1000;
  std::size_t steps = 0;
  while (falling.next(loss -= 1) == 1) ++steps;
  CHECK(steps == 300);
  // One that falls by less than the least fall that counts does not, unless any fall counts.
  for (const double min_delta : {1e-4, 0.0}) {
    ThesisSchedule slow(1.0, 100, 200, min_delta);
    double last = 1, length = 1;
    while (const double next = slow.next(last -= 5e-7)) length = next;
    CHECK(length == (min_delta > 0 ? 0.0625 : 1.0));  // halved at steps 141, 191, 241 and 291
  }
}
