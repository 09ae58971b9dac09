// docs/theory.md 7.2: steps whose gradient is zero although a residual is not, and v drawn again for them.
#include <array>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/training_loop.h"
#include "losses/losses.h"
#include "models/layers.h"
#include "models/mlp.h"
#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Samples with the inputs x, all in one batch, in f64.
struct Steps {
  Steps(Sequential network, const std::vector<std::vector<std::uint8_t>>& x, std::int64_t classes)
      : samples(static_cast<std::int64_t>(x.size())),
        toy(context, samples, {static_cast<std::int64_t>(x[0].size()), 1, 1}, classes, 1),
        model(std::move(network)),
        store(context, DType::f64, model.parameters()) {
    std::vector<std::uint8_t> pixels;
    for (const auto& point : x) pixels.insert(pixels.end(), point.begin(), point.end());
    toy.images.write<std::uint8_t>(pixels);
    std::vector<std::int32_t> labels;
    for (std::int64_t n = 0; n < samples; ++n) labels.push_back(static_cast<std::int32_t>(n % classes));
    toy.labels.write<std::int32_t>(labels);
    // Pixels are inputs, 0, 1 or 2, so that products with them are exact and sums cancel exactly.
    toy.scale.write<double>(std::vector<double>(x[0].size(), 1.0));
    toy.shift.write<double>(std::vector<double>(x[0].size(), 0.0));
    store.initialize(Initialization::pytorch, 5);
  }
  void set(const std::string& name, const std::vector<double>& values) {
    store.write<double>(store.weights(), store.index_of(name), values);
  }
  std::vector<double> weights() const {
    const auto* values = static_cast<const double*>(store.weights());
    return {values, values + store.flat_size()};
  }

  // So many epochs of one step; what they count, added up.
  EpochMetrics run(const char* loss_name, DirectionDistribution distribution, std::uint32_t redraws,
                   double rate, std::int64_t steps) {
    const std::unique_ptr<Loss> loss =
        make_loss(loss_name, {.qmse = {.distribution = distribution, .seed = 7}});
    Sgd sgd(store, {.momentum = 0.9});
    TrainingLoop<double> loop(context, network_of(model, store), toy.resident, *loss, sgd, samples,
                              {.redraws = redraws});
    std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
    std::iota(order.begin(), order.end(), 0u);
    EpochMetrics all;
    for (std::int64_t step = 0; step < steps; ++step) {
      loop.begin_epoch(order, std::array{rate}, static_cast<std::uint64_t>(step));
      loop.step();
      REQUIRE(loop.epoch_done());
      REQUIRE(loop.counter().index == 1);
      all.null_steps += loop.metrics().null_steps;
      all.redraws += loop.metrics().redraws;
    }
    return all;
  }

  Context context = cpu(1);
  std::int64_t samples;
  ToyData<double> toy;
  Sequential model;
  ParameterStore store;
};

Sequential linear_model(std::int64_t inputs, std::int64_t classes) {
  return make_mlp({inputs, 1, 1}, classes, {.widths = {}});
}

// Two samples of equal inputs and different classes, outputs (1/2, 1/2): the residuals cancel, and so do
// a (r + v) where v does.
struct EqualRows : Steps {
  EqualRows() : Steps(linear_model(3, 2), {{1, 0, 2}, {1, 0, 2}}, 2) {
    set("fc1.weight", std::vector<double>(6, 0.0));
    set("fc1.bias", {0.5, 0.5});
  }
};

}  // namespace

TEST_CASE(
    "null steps: over two equal rows v of few values cancels in a quarter of the steps, of a sphere never") {
  constexpr std::int64_t steps = 4000;
  // Five standard deviations: 5 sqrt(3/16 / 4000).
  for (const char* loss : {"qmse", "mse_noise"}) {
    CAPTURE(loss);
    const EpochMetrics few = EqualRows().run(loss, DirectionDistribution::rademacher, 0, 0, steps);
    CHECK(static_cast<double>(few.null_steps) / steps == Approx(0.25).margin(0.035));
    CHECK(few.redraws == 0);
    CHECK(EqualRows().run(loss, DirectionDistribution::sphere, 0, 0, steps).null_steps == 0);
  }
  CHECK(EqualRows().run("mse", DirectionDistribution::sphere, 0, 0, 10).null_steps == 10);
}

TEST_CASE("null steps: drawing v again acts over two equal rows") {
  constexpr std::int64_t steps = 4000;
  EqualRows rows;
  const std::vector<double> before = rows.weights();
  const EpochMetrics metrics = rows.run("qmse", DirectionDistribution::rademacher, 40, 0, steps);
  CHECK(metrics.null_steps == 0);  // left with probability 1 - 4^-41
  // A quarter needs a second draw, a quarter of these a third: 1/3 a step, whose variance is 4/9.
  CHECK(static_cast<double>(metrics.redraws) / steps == Approx(1.0 / 3).margin(0.053));
  CHECK(rows.weights() == before);
  // One more draw alone leaves a sixteenth.
  const EpochMetrics once = EqualRows().run("qmse", DirectionDistribution::rademacher, 1, 0, steps);
  CHECK(static_cast<double>(once.null_steps) / steps == Approx(1.0 / 16).margin(0.02));
}

TEST_CASE("null steps: a step that is taken again moves the weights once") {
  // c = 1, f = 0: r = 1, and a (r + v) is 0 for v = -1 and 4 for v = 1.
  int again = 0;
  for (std::uint8_t pixel = 0; pixel < 20; ++pixel) {
    Steps one(linear_model(1, 1), {{0}}, 1);
    one.set("fc1.weight", {0.0});
    one.set("fc1.bias", {0.0});
    const std::unique_ptr<Loss> loss = make_loss("qmse", {.qmse = {.seed = pixel}});
    Sgd sgd(one.store, {.momentum = 0.9});
    const std::size_t bias = one.store.index_of("fc1.bias");
    one.store.write<double>(sgd.state()[0].flat, bias, std::vector<double>{-1.0});
    TrainingLoop<double> loop(one.context, network_of(one.model, one.store), one.toy.resident, *loss, sgd, 1,
                              {.redraws = 30});
    loop.begin_epoch(std::array{0u}, std::array{0.125}, 0);
    loop.step();
    CHECK(one.store.read<double>(one.store.weights(), bias) ==
          std::vector<double>{-0.125 * (0.9 * -1.0 - 4.0)});
    again += loop.metrics().redraws > 0 ? 1 : 0;
  }
  CHECK(again > 3);
  CHECK(again < 17);
}

TEST_CASE("null steps: where no output depends on a weight no v helps") {
  Sequential model({2, 1, 1});
  model.emplace<FlattenLayer>("flatten").emplace<LinearLayer>("fc1", 2, Activation::relu, "relu");
  Steps dead(std::move(model), {{0, 1}, {1, 0}, {2, 2}}, 2);
  dead.set("fc1.bias", {-1000, -1000});  // outputs 0, and D = 0
  const std::vector<double> before = dead.weights();
  const EpochMetrics metrics = dead.run("qmse", DirectionDistribution::sphere, 6, 0.1, 50);
  CHECK(metrics.null_steps == 50);
  CHECK(metrics.redraws == 6 * 50);
  CHECK(dead.weights() == before);
}

TEST_CASE(
    "null steps: at dead units the gradient is not zero, so v is not drawn again, and nothing revives them") {
  Steps dead(make_mlp({2, 1, 1}, 2, {.widths = {3}}), {{0, 1}, {1, 0}, {1, 1}, {0, 0}}, 2);
  dead.set("fc1.bias", {-1000, -1000, -1000});
  const std::vector<double> w =
      dead.store.read<double>(dead.store.weights(), dead.store.index_of("fc1.weight"));
  const std::vector<double> before = dead.weights();
  const EpochMetrics metrics = dead.run("qmse", DirectionDistribution::sphere, 6, 0.02, 500);
  CHECK(metrics.null_steps == 0);
  CHECK(metrics.redraws == 0);
  CHECK(dead.weights() != before);  // the output bias learns
  CHECK(dead.store.read<double>(dead.store.weights(), dead.store.index_of("fc1.weight")) == w);
}
