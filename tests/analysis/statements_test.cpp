// The experiments on critical points, saddles, escape and efficiency: their closed forms, and each verdict on
// a case where the statement is true and on one where it is false.
#include <cmath>

#include "analysis/critical/certificate.h"
#include "analysis/critical/search.h"
#include "analysis/landscape/critical_points.h"
#include "analysis/landscape/run.h"
#include "analysis/landscape/saddle_functions.h"
#include "analysis/landscape/tied_saddle.h"
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
      samples.target(n, o) = 0.3 * random.normal() + std::tanh(2 * samples.input(n, o % inputs));
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

Json run(const std::string& experiment, const TempDirectory& folder, const Json& given) {
  static int runs = 0;
  return run_landscape({.experiment = experiment,
                        .given = given,
                        .out = folder / (experiment + std::to_string(++runs)),
                        .threads = 2},
                       {})
      .result;
}

}  // namespace

// Independent: the index of the padded point is counted from its own Hessian.
TEST_CASE("critical points: zero units added to a critical point leave it critical, of the formula's index") {
  const Samples samples = random_samples(41, 3, 2, 12);
  std::int64_t checked = 0;
  for (const double decay : {0.0, 1e-2, 0.1}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const MlpObjective objective{.loss = MlpLoss::mse, .weight_decay = decay, .slope_factors = {}};
      Mlp small({.widths = {3, 2, 2}}, objective, samples);
      RandomStream random(seed, RandomPurpose::test);
      std::vector<double> w;
      for (std::size_t i = 0; i < small.parameters(); ++i) w.push_back(0.7 * random.normal());
      w = find_minimum(small, w, {.iterations = 300, .target = 1e-12}).weights;
      const CriticalCertificate before = certify(small, w);
      if (!before.critical || before.uncertain) continue;
      Mlp wide({.widths = {3, 5, 2}}, objective, samples);
      const CriticalCertificate after = certify(wide, with_zero_units(small.shape(), w, 5));
      CAPTURE(decay, seed);
      CHECK(after.critical);
      CHECK(after.loss == Approx(before.loss).epsilon(1e-13));
      CHECK(after.index == before.index + 3 * negative_directions_of_a_zero_unit(small, w));
      ++checked;
    }
  }
  CHECK(checked >= 6);
}

TEST_CASE("critical points: what is equivalent is counted once, and the verdicts can fail") {
  const auto point = [](std::int64_t seed, double loss, std::int64_t index) {
    return CriticalPoint{.seed = seed, .loss = loss, .index = index, .spectrum = {-loss, 1, 2}};
  };
  std::vector<CriticalPoint> rising, falling, flat;
  for (std::int64_t i = 0; i < 12; ++i) {
    rising.push_back(point(i, 0.1 * static_cast<double>(i + 1), i / 2));
    falling.push_back(point(i, 0.1 * static_cast<double>(i + 1), 6 - i / 2));
    flat.push_back(point(i, 0.1 * static_cast<double>(i + 1), 0));
  }
  CHECK(index_against_loss(rising).finding == Finding::holds);
  CHECK(index_against_loss(falling).finding == Finding::does_not_hold);
  CHECK(index_against_loss(flat).finding == Finding::not_shown);
  CHECK(index_against_loss({}).finding == Finding::not_run);
  CHECK(minima_below_saddles(rising).finding == Finding::holds);
  CHECK(minima_below_saddles({point(1, 0.5, 0), point(2, 0.4, 3)}).finding == Finding::does_not_hold);
  CHECK(minima_below_saddles(flat).finding == Finding::not_run);
  std::vector<CriticalPoint> twice = rising;
  twice.insert(twice.end(), rising.begin(), rising.end());
  twice.push_back(rising.front());
  twice.back().spectrum.back() = 2.1;  // the same loss, another Hessian
  CHECK(distinct(twice).size() == rising.size() + 1);
}

TEST_CASE("landscape critical: certified points, built ones of the formula's index, and a linear network") {
  const TempDirectory folder;
  const Json small = {{"data_set", "gaussian"}, {"samples", 40}, {"inputs", 3},
                      {"labels", "classes:3"},  {"hidden", 3},   {"seeds", 6},
                      {"descents", {0, 30}},    {"ladder", 4},   {"rung_starts", 3},
                      {"weight_decay", 0.003}};
  const Json result = run("critical", folder, small);
  CHECK(verdict(result, "higher loss have a higher index")["statistic"]["value"].get<double>() > 0.5);
  CHECK(verdict(result, "zero units")["verdict"] == "exact");
  CHECK(verdict(result, "zero units")["statistic"]["n"].get<int>() >= 8);
  // Of linear networks no minimum lies above a saddle; of tanh networks some do (docs/landscape.md).
  Json linear = small;
  linear.update({{"activation", "identity"}, {"hidden", 2}});
  CHECK(verdict(run("critical", folder, linear), "no minimum lies above")["verdict"] == "holds");
  // Only minima: nothing is shown.
  Json one = small;
  one.update({{"hidden", 1}, {"weight_decay", 5.0}, {"ladder", 0}});
  CHECK(verdict(run("critical", folder, one), "higher index")["verdict"] == "not shown");
}

TEST_CASE("saddle functions: slopes are continuous, the curvature's bound is right, steps land and leave") {
  const JumpFunction phi(0.5);
  for (const double y : {0.5, 1.0, -0.5, -1.0}) {
    CHECK(phi.slope(y + 1e-9) == Approx(phi.slope(y - 1e-9)).epsilon(1e-6));
    const double left = (phi.slope(y) - phi.slope(y - 1e-6)) / 1e-6,
                 right = (phi.slope(y + 1e-6) - phi.slope(y)) / 1e-6;
    CHECK(left == Approx(right).margin(1e-3));
  }
  CHECK(phi.lipschitz() == Approx(7.33).margin(0.01));
  for (const double y : {1.0, -1.3, 1.999}) CHECK(y - 0.5 * phi.slope(y) == 0);
  // A reference in NumPy, for step 0.1 and y = 1e-2, 1e-4, ...
  const int expected[] = {43, 91, 139, 188, 236, 284, 333, 381};
  for (int i = 0; i < 8; ++i) CHECK(steps_to_leave(std::pow(10.0, -2 * (i + 1)), 0.1, 10000) == expected[i]);
  CHECK(steps_to_leave(0, 0.1, 10000) == 10000);
  CHECK(descend_in_plane(1, 0, 0.1) == PlaneEnd::saddle);
  CHECK(descend_in_plane(1, -1e-8, 0.1) == PlaneEnd::minimum);
  CHECK(descend_in_plane(1, 5, 0.1) == PlaneEnd::diverged);
}

TEST_CASE("landscape saddle: no random start ends at a saddle, and every symmetric one does") {
  const TempDirectory folder;
  Json given = {{"data_set", "gaussian"},   {"samples", 40},         {"inputs", 4},
                {"labels", "projection:3"}, {"plane_starts", 20000}, {"network_starts", 10},
                {"network_steps", 20000}};
  const Json result = run("saddle", folder, given);
  for (const std::string claim : {"in the plane", "linear networks"}) {
    CHECK(verdict(result, claim)["verdict"] == "holds");
    CHECK(verdict(result, claim)["statistic"]["value"] == 0);
  }
  CHECK(verdict(result, "every start")["verdict"] == "does not hold");
  const Json& step = verdict(result, "1/L");
  CHECK(step["verdict"] == "does not hold");
  CHECK(step["statistic"]["low"].get<double>() < 0.5);
  CHECK(step["statistic"]["high"].get<double>() > 0.5);
  CHECK(verdict(result, "logarithm of the distance")["verdict"] == "holds");
  given["start"] = "symmetric";
  const Json symmetric = run("saddle", folder, given);
  for (const std::string claim : {"in the plane", "linear networks"}) {
    CHECK(verdict(symmetric, claim)["verdict"] == "does not hold");
    CHECK(verdict(symmetric, claim)["statistic"]["value"] == 1);
  }
}

TEST_CASE(
    "tied saddle: one direction down, which parts the units, and what steps do with sample gradients never "
    "does") {
  int found = 0;
  for (std::uint64_t data = 1; data <= 8; ++data) {  // some data have saddles with more directions down
    const Samples samples = random_samples(50, 3, 1, data);
    Mlp network({.widths = {3, 2, 1}}, {.loss = MlpLoss::mse, .weight_decay = 5e-3, .slope_factors = {}},
                samples);
    TiedSaddle saddle;
    try {
      saddle = find_tied_saddle(network, 2);
    } catch (const ConfigError&) {
      continue;
    }
    ++found;
    CAPTURE(data);
    CHECK(saddle.gradient < 1e-10);
    CHECK(saddle.curvature < 0);
    CHECK(tie_gap(network.shape(), saddle.weights) == 0);
    std::vector<double> product(network.parameters());
    network.curvature_products(saddle.weights, 1, saddle.direction, product);
    for (std::size_t i = 0; i < product.size(); ++i)
      CHECK(product[i] == Approx(saddle.curvature * saddle.direction[i]).margin(1e-12));
    // Along the direction the units' parameters are opposite.
    for (std::size_t k = 0; k < 3; ++k)
      CHECK(saddle.direction[k] == Approx(-saddle.direction[3 + k]).margin(1e-9));
    std::vector<double> moved = saddle.weights;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += 0.01 * saddle.direction[i];
    CHECK(network.loss(moved) < saddle.loss);
  }
  CHECK(found >= 1);
  const Samples samples = random_samples(20, 3, 2, 1);
  Mlp three({.widths = {3, 3, 2}}, {}, samples);
  CHECK_THROWS_AS(find_tied_saddle(three, 1), ShapeError);
}

TEST_CASE(
    "landscape escape: medians are the predicted ones, no noise leaves nothing, far away nothing is "
    "predicted") {
  const TempDirectory folder;
  const Json given = {{"data_set", "gaussian"},
                      {"samples", 60},
                      {"inputs", 3},
                      {"labels", "classes:2"},
                      {"lr", Json::array({0.2})},
                      {"sigma", Json::array({1e-3})},
                      {"seeds", 200},
                      {"bound_seeds", 1},
                      {"bound_steps", 500},
                      {"steps", 20000}};
  const Json result = run("escape", folder, given);
  CHECK(verdict(result, "leaves a strict saddle")["verdict"] == "holds");
  CHECK(verdict(result, "median time")["verdict"] == "holds");
  CHECK(verdict(result, "never part")["verdict"] == "exact");
  CHECK(verdict(result, "never part")["statistic"]["value"] == 0);
  Json still = given;
  still.update({{"sigma", Json::array({0.0})}, {"seeds", 3}, {"steps", 200}});
  CHECK(verdict(run("escape", folder, still), "leaves a strict saddle")["verdict"] == "does not hold");
  // Beyond the region where the loss is nearly quadratic.
  Json far = given;
  far.update({{"delta", 30.0}, {"seeds", 10}, {"steps", 3000}});
  CHECK(verdict(run("escape", folder, far), "median time")["verdict"] == "does not hold");
}

TEST_CASE("landscape efficiency: SGD is ahead with many samples, and behind where its noise has a floor") {
  const TempDirectory folder;
  const Json given = {{"data_set", "gaussian"},
                      {"samples", 400},
                      {"inputs", 4},
                      {"labels", "projection:1"},
                      {"sizes", {20, 400}},
                      {"hidden", {6}},
                      {"activation", "tanh"},
                      {"epochs", 20},
                      {"batch", 10},
                      {"step_sizes", {0.5, 0.1, 0.02, 0.005}},
                      {"seeds", 5}};
  const Json result = run("efficiency", folder, given);
  CHECK(verdict(result, "SGD is further down")["verdict"] == "holds");
  CHECK(verdict(result, "mini-batch gradient descent is further down")["verdict"] == "holds");
  Json epochs = given;
  epochs["order"] = "epochs";
  const Json without_replacement = run("efficiency", folder, epochs);
  CHECK(verdict(without_replacement, "SGD is further down")["verdict"] == "holds");
  CHECK(without_replacement["summary"] != result["summary"]);
  // One unit cannot fit random labels. After thousands of epochs descent is at its minimum, SGD at a floor.
  Json floor = given;
  floor.update({{"labels", "random"},
                {"sizes", Json::array({20})},
                {"hidden", {1}},
                {"epochs", 2000},
                {"step_sizes", Json::array({0.5})},
                {"seeds", 12}});
  CHECK(verdict(run("efficiency", folder, floor), "SGD is further down")["verdict"] == "does not hold");
}
