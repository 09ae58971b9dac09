#include "analysis/critical/certificate.h"

#include <cmath>

#include "algebra/dense.h"
#include "analysis/critical/search.h"
#include "analysis/landscape/linear_theory.h"
#include "analysis/landscape/run.h"
#include "analysis/landscape/sgd_floor_theory.h"
#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"
#include "tests/support/temp_directory.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Samples random_samples(std::int64_t count, std::int64_t inputs, std::int64_t outputs, std::uint64_t seed) {
  Samples samples = make_samples(count, inputs, outputs);
  RandomStream random(seed, RandomPurpose::test);
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < inputs; ++k) samples.input(n, k) = random.normal();
    for (std::int64_t o = 0; o < outputs; ++o)
      samples.target(n, o) = random.normal() + 0.5 * samples.input(n, o % inputs);
  }
  return samples;
}

const Json& verdict(const Json& result, const std::string& claim) {
  for (const Json& each : result["verdicts"]) {
    if (each["claim"].get<std::string>().find(claim) != std::string::npos) return each;
  }
  FAIL("no verdict on " + claim);
  return result;
}

}  // namespace

// Other sizes than the experiment's, inputs and outputs in either order.
TEST_CASE("linear: loss, index and nullity of every critical point found are those of the closed form") {
  struct Sizes {
    std::int64_t inputs, outputs, hidden;
  };
  for (const Sizes& size : {Sizes{5, 3, 2}, Sizes{3, 5, 3}, Sizes{4, 4, 1}, Sizes{2, 3, 2}}) {
    const Samples samples = random_samples(37, size.inputs, size.outputs, 3);
    const LinearTheory theory(samples);
    Mlp network({.widths = {size.inputs, size.hidden, size.outputs},
                 .activation = HiddenActivation::identity,
                 .biases = false},
                {}, samples);
    std::int64_t found = 0;
    for (std::uint64_t start = 1; start <= 12; ++start) {
      RandomStream random(start, RandomPurpose::test, 7);
      const double scale = std::pow(10.0, random.uniform(-1.5, 0.3));
      std::vector<double> w;
      for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(scale * random.normal());
      const SearchEnd end = find_critical_point(network, w, {.iterations = 300, .target = 1e-13});
      const CriticalCertificate point = certify(network, end.weights, {.gradient = 1e-9});
      if (!point.critical) continue;
      ++found;
      const LinearTheory::Subset subset = theory.subset(end.weights, size.hidden);
      CAPTURE(size.inputs, size.outputs, size.hidden, start);
      CHECK(subset.deviation < 1e-6);
      CHECK(std::abs(point.loss - theory.loss(subset.members)) < 1e-12);
      CHECK(point.index == theory.index(subset.members, size.hidden));
      CHECK(point.nullity == theory.nullity(subset.members, size.hidden));
      CHECK(point.is_minimum() == (subset.members == theory.best(size.hidden)));
    }
    CHECK(found >= 10);
  }
  Samples dependent = random_samples(20, 3, 2, 4);
  for (std::int64_t n = 0; n < 20; ++n) dependent.input(n, 2) = dependent.input(n, 0) + dependent.input(n, 1);
  CHECK_THROWS_AS(LinearTheory(dependent), ConfigError);
}

// f(w) = (w0^2 - 1)^2 / 4-like landscapes are awkward with a network; a linear unit's quadratic loss has a
// Hessian by hand.
TEST_CASE("certificate: index, nullity and distance of a quadratic loss are those of its matrix") {
  // Two inputs of which the second is always 0: H = diag(2, 0).
  Samples samples = make_samples(3, 2, 1);
  const double x[] = {1, 2, 1};
  for (int n = 0; n < 3; ++n) {
    samples.input(n, 0) = x[n];
    samples.target(n, 0) = 3 * x[n];
  }
  Mlp network({.widths = {2, 1}, .biases = false}, {}, samples);
  const CriticalCertificate away = certify(network, std::vector<double>{2.5, 7});
  CHECK_FALSE(away.critical);
  CHECK(away.gradient == Approx(1.0));
  CHECK(away.newton_distance == Approx(0.5));
  CHECK(away.flatness == Approx(1.0));
  const CriticalCertificate there = certify(network, std::vector<double>{3, 7});
  CHECK(there.is_minimum());
  CHECK(there.nullity == 1);
  CHECK_FALSE(there.uncertain);
  CHECK(there.smallest_other == Approx(2.0));
}

TEST_CASE(
    "search: a minimum of a small tanh network has a gradient of rounding size and positive curvature") {
  const Samples samples = random_samples(40, 3, 2, 5);
  Mlp network({.widths = {3, 4, 2}}, {.loss = MlpLoss::mse, .weight_decay = 0.01, .slope_factors = {}},
              samples);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    RandomStream random(seed, RandomPurpose::test);
    std::vector<double> w;
    for (std::size_t i = 0; i < network.parameters(); ++i) w.push_back(0.5 * random.normal());
    const SearchEnd end = find_minimum(network, w, {.iterations = 300, .target = 1e-12});
    const CriticalCertificate point = certify(network, end.weights);
    CAPTURE(seed);
    CHECK(point.critical);
    CHECK(point.index == 0);
    CHECK(point.loss < network.loss(w));
  }
}

TEST_CASE("landscape linear: exact on data of its own, and false of three layers at 0") {
  const TempDirectory folder;
  const LandscapeOutcome outcome = run_landscape({.experiment = "linear",
                                                  .given = {{"data_set", "gaussian"},
                                                            {"samples", 60},
                                                            {"inputs", 4},
                                                            {"labels", "projection:3"},
                                                            {"hidden", 2},
                                                            {"starts", 40},
                                                            {"descents", 4},
                                                            {"descent_steps", 6000}},
                                                  .out = folder / "linear",
                                                  .threads = 2},
                                                 {});
  CHECK(verdict(outcome.result, "closed form")["verdict"] == "exact");
  CHECK(verdict(outcome.result, "only local minimum")["verdict"] == "exact");
  const Json& strict = verdict(outcome.result, "three layers");
  CHECK(strict["verdict"] == "does not hold");
  CHECK(strict["statistic"]["value"] == 0);
  CHECK(outcome.result["summary"].size() == 7);  // subsets of 3 eigenvalues with at most 2 members
}

TEST_CASE("landscape symmetries: the identities hold to rounding, and minima have the forced zeros") {
  const TempDirectory folder;
  const LandscapeOutcome outcome = run_landscape({.experiment = "symmetries",
                                                  .given = {{"data_set", "gaussian"},
                                                            {"samples", 30},
                                                            {"inputs", 3},
                                                            {"labels", "projection:2"},
                                                            {"hidden", 5},
                                                            {"seeds", 3},
                                                            {"minima", 3},
                                                            {"steps", 15000}},
                                                  .out = folder / "symmetries",
                                                  .threads = 2},
                                                 {});
  for (const Json& each : outcome.result["verdicts"]) {
    CAPTURE(each["claim"].get<std::string>(), each["sentence"].get<std::string>());
    CHECK(each["verdict"] == "exact");
  }
}

// One parameter: f = w, targets +-1, loss (w - y)^2 / 2, so h = 1 and C = 1. SGD is then w' = (1 - a) w + a
// y, whose variance is a / (2 - a) by the recursion itself.
TEST_CASE("sgd floor: the prediction is exact for one parameter, with momentum as its recursion says") {
  Samples samples = make_samples(2, 1, 1);
  samples.input(0, 0) = samples.input(1, 0) = 1;
  samples.target(0, 0) = 1;
  samples.target(1, 0) = -1;
  Mlp network({.widths = {1, 1}, .biases = false}, {}, samples);
  const GradientNoise noise = gradient_noise(network, std::vector<double>{0.0});
  CHECK(noise.curvature.front() == Approx(1));
  CHECK(noise.variance(0) == Approx(1));
  for (const double step : {0.01, 0.3, 1.5}) {
    CHECK(noise.predicted(step, 1) == Approx(step / (2 - step)));
    CHECK(noise.predicted(step, 4) == Approx(step / (2 - step) / 4));
  }
  CHECK(std::isnan(noise.predicted(2, 1)));
  // Heavy ball: the stationary covariance of (w, v) by iterating its linear map.
  const double step = 0.2, momentum = 0.6;
  double ww = 0, wv = 0, vv = 0;
  for (int i = 0; i < 20000; ++i) {
    const double vv_next = momentum * momentum * vv + 2 * momentum * wv + ww + 1;
    const double wv_next = momentum * wv + ww - step * vv_next;
    const double ww_next = ww - 2 * step * (momentum * wv + ww) + step * step * vv_next;
    ww = ww_next;
    wv = wv_next;
    vv = vv_next;
  }
  CHECK(noise.predicted(step, 1, momentum) == Approx(ww).epsilon(1e-9));
}

TEST_CASE(
    "landscape sgd-floor: measured floors are the predicted ones, and every verdict fails where a network "
    "interpolates") {
  const TempDirectory folder;
  const auto run = [&](const Json& given, const std::string& name) {
    LandscapeRequest request{.experiment = "sgd-floor",
                             .given = {{"data_set", "gaussian"},
                                       {"samples", 50},
                                       {"inputs", 4},
                                       {"labels", "classes:3"},
                                       {"hidden", {3}},
                                       {"weight_decay", 0.01},
                                       {"batches", {5}},
                                       {"step_sizes", {0.01, 0.03, 0.1}},
                                       {"seeds", 6},
                                       {"steps", 1000},
                                       {"precision", 0.02}},
                             .out = folder / name,
                             .threads = 2};
    request.given.update(given);
    return run_landscape(request, {}).result;
  };
  const Json floor = run(Json::object(), "floor");
  CHECK(verdict(floor, "squared gradient norm of SGD")["verdict"] == "holds");
  CHECK(verdict(floor, "average gradient norm is proportional")["verdict"] == "does not hold");
  for (const Json& each : floor["summary"]) {
    CHECK(each["ratio"].get<double>() == Approx(1).margin(0.05));
    CHECK(each["predicted_error"].get<double>() <= 0.02);
  }
  CHECK(verdict(floor, "stays at a floor")["verdict"] == "holds");
  const Json batches = run({{"batches", {2, 8}}, {"step_sizes", {0.05}}}, "batches");
  CHECK(verdict(batches, "1 / batch size")["verdict"] == "holds");
  CHECK(verdict(floor, "from the Hessian")["verdict"] == "holds");
  // Where the network fits every sample the noise vanishes with the loss: SGD converges, the sooner the
  // longer its steps.
  const Json fits = run({{"hidden", {30}},
                         {"weight_decay", 0.0},
                         {"samples", 10},
                         {"start", "descent"},
                         {"pretraining", 100},
                         {"gradients", 100},
                         {"steps", 4000}},
                        "fits");
  CHECK(verdict(fits, "squared gradient norm of SGD")["verdict"] == "does not hold");
  CHECK(verdict(fits, "squared gradient norm of SGD")["statistic"]["value"].get<double>() < 0.5);
  CHECK(verdict(fits, "stays at a floor")["verdict"] == "does not hold");
}

// docs/theory.md 7.5: the Hessian is that of QMSE's expected step, and beside the choice of samples there is
// the noise of v, the mean of D_n^T Cov(Q r_n) D_n.
TEST_CASE("sgd floor: QMSE's is that of both its noises") {
  Samples samples = random_samples(40, 3, 2, 21);
  for (double& y : samples.y) y *= 0.5;
  const MlpShape shape{.widths = {3, 4, 2}, .activation = HiddenActivation::tanh};
  Mlp expected(shape, {.loss = MlpLoss::expected_qmse, .weight_decay = 0.01}, samples),
      qmse(shape, {.loss = MlpLoss::qmse, .weight_decay = 0.01}, samples);
  RandomStream random(4, RandomPurpose::test);
  std::vector<double> w;
  for (std::size_t i = 0; i < expected.parameters(); ++i) w.push_back(0.5 * random.normal());
  w = find_minimum(expected, w).weights;
  GradientNoise noise = gradient_noise(expected, w);
  REQUIRE(noise.gradient < 1e-8);
  const auto parameters = static_cast<std::int64_t>(w.size());
  const SymmetricEigen eigen = symmetric_eigen(expected.curvature_matrix(w), parameters);
  const std::vector<double> d = expected.jacobian(w), f = expected.outputs(w);
  const double c = 2;
  double by_v = 0, all = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    double sum = 0;
    for (std::int64_t n = 0; n < samples.count; ++n) {
      double square = 0, along = 0, across = 0;  // ||r||^2, (D_n^T r)_i^2, sum over outputs of D_n,i^2
      for (std::int64_t o = 0; o < 2; ++o) {
        const double r = samples.target(n, o) - f[static_cast<std::size_t>(o * samples.stride + n)];
        double projected = 0;
        for (std::size_t k = 0; k < w.size(); ++k)
          projected +=
              eigen.vectors[i * w.size() + k] * d[static_cast<std::size_t>(2 * n + o) * w.size() + k];
        square += r * r;
        along += projected * r;
        across += projected * projected;
      }
      sum += (3 * square / c + 2 / (c * (c + 2)) - 1 / (c * c)) * along * along +
             (square * square / c + square / (c * (c + 2))) * across;
    }
    noise.covariance[i * w.size() + i] += sum / static_cast<double>(samples.count);
    by_v += sum / static_cast<double>(samples.count);
    all += noise.variance(i);
  }
  CHECK(by_v > 0.2 * all);  // it makes a difference
  const double step = 0.01;
  const std::int64_t batch = 4;
  std::vector<double> gradient(w.size());
  double measured = 0;
  std::int64_t count = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Descent descent(qmse, w, {.batch = batch}, seed);
    for (int k = 1; k <= 60000; ++k) {
      descent.step(step);
      if (k < 5000 || k % 20 != 0) continue;
      expected.gradient(descent.weights(), gradient);
      for (const double g : gradient) measured += g * g;
      ++count;
    }
  }
  const double ratio = measured / static_cast<double>(count) / noise.predicted(step, batch);
  CAPTURE(ratio);
  CHECK(ratio == Approx(1).margin(0.1));
}

// One parameter again: independent runs of the recursion, written out.
TEST_CASE("sgd floor: mean and deviation of a run's average are those of simulated recursions") {
  Samples samples = make_samples(2, 1, 1);
  samples.input(0, 0) = samples.input(1, 0) = 1;
  samples.target(0, 0) = 1;
  samples.target(1, 0) = -1;
  Mlp network({.widths = {1, 1}, .biases = false}, {}, samples);
  const GradientNoise noise = gradient_noise(network, std::vector<double>{0.0});
  const double step = 0.02;
  const AveragedRun plan{.first = 30, .spacing = 7, .count = 20};
  RandomStream random(8, RandomPurpose::test);
  std::vector<double> averages;
  for (int run = 0; run < 20000; ++run) {
    double g = 0, sum = 0;
    for (std::int64_t k = 1; k <= plan.first + plan.spacing * plan.count; ++k) {
      g = (1 - step) * g + step * random.normal();
      if (k > plan.first && (k - plan.first) % plan.spacing == 0) sum += g * g;
    }
    averages.push_back(sum / static_cast<double>(plan.count));
  }
  const GradientNoise::Average predicted = noise.average(step, 1, 0, plan);
  CHECK(mean(averages) == Approx(predicted.mean).epsilon(0.02));
  // The deviation takes the run for settled: from the minimum it is still a little smaller.
  const AveragedRun later{.first = 1000, .spacing = 7, .count = 20};
  CHECK(noise.average(step, 1, 0, later).mean == Approx(noise.predicted(step, 1)).epsilon(1e-9));
  CHECK(noise.average(step, 1, 0, later).deviation == Approx(predicted.deviation));
  averages.clear();
  for (int run = 0; run < 20000; ++run) {
    double g = std::sqrt(noise.predicted(step, 1)) * random.normal(), sum = 0;
    for (std::int64_t k = 1; k <= plan.spacing * plan.count; ++k) {
      g = (1 - step) * g + step * random.normal();
      if (k % plan.spacing == 0) sum += g * g;
    }
    averages.push_back(sum / static_cast<double>(plan.count));
  }
  CHECK(*standard_deviation(averages) == Approx(predicted.deviation).epsilon(0.05));
}

TEST_CASE(
    "landscape schedule: the squared gradient norm follows the step, and a constant step is no falling one") {
  const TempDirectory folder;
  const LandscapeOutcome outcome = run_landscape({.experiment = "schedule",
                                                  .given = {{"data_set", "gaussian"},
                                                            {"samples", 50},
                                                            {"inputs", 4},
                                                            {"labels", "classes:3"},
                                                            {"hidden", {3}},
                                                            {"weight_decay", 0.01},
                                                            {"exponents", {0.0, 1.0}},
                                                            {"lr", 0.2},
                                                            {"scale", 500.0},
                                                            {"batch", 5},
                                                            {"seeds", 12},
                                                            {"steps", 30000}},
                                                  .out = folder / "schedule",
                                                  .threads = 2},
                                                 {});
  CHECK(std::abs(outcome.result["summary"][0]["slope"].get<double>()) < 0.06);
  CHECK(outcome.result["summary"][1]["slope"].get<double>() == Approx(-1).margin(0.1));
  CHECK(outcome.result["summary"][0]["ratio_to_floor"].get<double>() == Approx(1).margin(0.15));
}
