#include <cmath>
#include <limits>
#include <numeric>

#include "engine/training_loop.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<float> flat_weights(const ParameterStore& store) {
  const auto* weights = static_cast<const float*>(store.weights());
  return {weights, weights + store.flat_size()};
}

std::vector<std::uint32_t> in_order(std::int64_t samples) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

// A small CNN on toy data, and what a training loop over it needs.
struct Setup {
  Setup(int threads, std::int64_t samples)
      : context(cpu(threads)),
        data(context, samples, {3, 12, 12}, 10, 3),
        model(make_simple_cnn({3, 12, 12}, 10, {.conv_channels = {16, 32}, .fc_width = 20})),
        store(context, DType::f32, model.parameters()) {
    store.initialize(Initialization::pytorch, 4);
  }

  Context context;
  ToyData<float> data;
  Sequential model;
  ParameterStore store;
  QmseLoss loss{QmseOptions{.seed = 6}};
};

std::vector<float> train(int threads, std::int64_t samples, std::int64_t batch_size, int epochs,
                         bool use_adam) {
  Setup setup(threads, samples);
  Sgd sgd(setup.store, {.momentum = 0.9});
  Adam adam(setup.store, {});
  Optimizer& optimizer = use_adam ? static_cast<Optimizer&>(adam) : sgd;
  TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                           setup.loss, optimizer, batch_size);
  const std::vector<double> rates(static_cast<std::size_t>(loop.steps_per_epoch()), 0.05);
  std::uint64_t step = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    loop.begin_epoch(in_order(samples), rates, step);
    while (!loop.epoch_done()) loop.step();
    step = loop.counter().step;
  }
  return flat_weights(setup.store);
}

}  // namespace

TEST_CASE("training: the same bits for 1, 2, 3 and 5 threads") {
  for (const bool use_adam : {false, true}) {
    CAPTURE(use_adam);
    const std::vector<float> one = train(1, 50, 16, 2, use_adam);
    for (const int threads : {2, 3, 5}) {
      CAPTURE(threads);
      CHECK(train(threads, 50, 16, 2, use_adam) == one);
    }
  }
}

TEST_CASE("training: the last, smaller batch is a mean over its own size") {
  // A batch of 4 and one of 3, made by hand.
  Setup setup(1, 7);
  Sgd sgd(setup.store, {.momentum = 0.9});
  const double rate = 0.05;
  std::uint64_t first = 0, step = 0;
  const std::vector<std::uint32_t> order = in_order(7);
  for (const std::int64_t batch : {4, 3}) {
    BatchPass<float> pass(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                          setup.loss, batch, {});
    pass.train(order.data(), &first, &step);
    sgd.step({&rate, &step});
    first += static_cast<std::uint64_t>(batch);
    ++step;
  }
  CHECK(flat_weights(setup.store) == train(1, 7, 4, 1, false));
}

TEST_CASE("training: an epoch resumed in the middle gives the same bits, and steps allocate nothing") {
  const std::int64_t samples = 45;
  Setup setup(2, samples);
  Sgd sgd(setup.store, {.momentum = 0.5, .weight_decay = 1e-3, .nesterov = true});
  TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                           setup.loss, sgd, 10);
  REQUIRE(loop.steps_per_epoch() == 5);
  std::vector<std::uint32_t> order = in_order(samples);
  std::swap(order[0], order[44]);
  const std::vector<double> rates{0.05, 0.04, 0.03, 0.02, 0.01};
  const auto start = [&] {
    setup.store.initialize(Initialization::pytorch, 8);
    fill_zero(setup.context, sgd.state()[0].flat,
              static_cast<std::size_t>(setup.store.flat_size()) * sizeof(float));
  };

  start();
  loop.begin_epoch(order, rates, 100);
  const std::int64_t allocations = setup.context.memory().allocation_count();
  while (!loop.epoch_done()) loop.step();
  CHECK(setup.context.memory().allocation_count() == allocations);
  const std::vector<float> whole = flat_weights(setup.store);
  const EpochMetrics whole_metrics = loop.metrics();
  CHECK(whole_metrics.samples == samples);
  CHECK(whole_metrics.steps == 5);
  CHECK(loop.counter().step == 105);

  start();
  loop.begin_epoch(order, rates, 100);
  loop.step();
  loop.step();
  const StepCounter counter = loop.counter();
  const EpochMetrics metrics = loop.metrics();
  CHECK(counter.learning_rate == 0.03);
  loop.resume_epoch(order, rates, counter, metrics);
  while (!loop.epoch_done()) loop.step();
  CHECK(flat_weights(setup.store) == whole);
  CHECK(loop.metrics().loss == whole_metrics.loss);
  CHECK(loop.metrics().gradient_norm_sq == whole_metrics.gradient_norm_sq);
  CHECK(loop.metrics().correct == whole_metrics.correct);
}

TEST_CASE("training: wrong sizes are refused") {
  Setup setup(1, 10);
  Sgd sgd(setup.store, {});
  const Network network = network_of(setup.model, setup.store);
  CHECK_THROWS_AS(TrainingLoop<float>(setup.context, network, setup.data.resident, setup.loss, sgd, 0),
                  ShapeError);
  TrainingLoop<float> loop(setup.context, network, setup.data.resident, setup.loss, sgd, 4);
  CHECK(loop.epoch_done());
  const std::vector<std::uint32_t> order(10);
  const std::vector<double> rates(3);
  CHECK_THROWS_AS(loop.begin_epoch(std::span(order).first(9), rates, 0), ShapeError);
  CHECK_THROWS_AS(loop.begin_epoch(order, std::span(rates).first(2), 0), ShapeError);
  CHECK_THROWS_AS(loop.resume_epoch(order, rates, StepCounter{.index = 4}, {}), ShapeError);
  // What a damaged checkpoint or a wrong order would have the gather read.
  for (const std::uint64_t first : {0, 3, 5, 8, 1000000}) {
    CAPTURE(first);
    CHECK_THROWS_AS(loop.resume_epoch(order, rates, StepCounter{.index = 1, .first = first}, {}), ShapeError);
  }
  CHECK_NOTHROW(loop.resume_epoch(order, rates, StepCounter{.index = 1, .first = 4}, {}));
  CHECK_NOTHROW(loop.resume_epoch(order, rates, StepCounter{.index = 3, .first = 10}, {}));
  std::vector<std::uint32_t> outside(10);
  outside[9] = 10;
  CHECK_THROWS_WITH(loop.begin_epoch(outside, rates, 0), Catch::Contains("index 10"));
}

TEST_CASE("training: a data set smaller than a batch is one batch") {
  const std::vector<float> one_batch = train(1, 7, 7, 2, false);
  CHECK(train(1, 7, 8, 2, false) == one_batch);
  CHECK(train(1, 7, std::numeric_limits<std::int64_t>::max(), 2, false) == one_batch);
}

TEST_CASE("training: the layer whose output overflows is named") {
  Setup setup(1, 6);
  Sgd sgd(setup.store, {});
  TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                           setup.loss, sgd, 6);
  const std::vector<double> rates{0.0};
  loop.begin_epoch(in_order(6), rates, 0);
  loop.step();
  CHECK(loop.first_non_finite().empty());
  CHECK(loop.metrics().first_non_finite_step == -1);
  const std::size_t fc1 = setup.store.index_of("fc1.bias");
  setup.store.write<float>(setup.store.weights(), fc1,
                           std::vector<float>(20, std::numeric_limits<float>::max()));
  const std::size_t fc2 = setup.store.index_of("fc2.weight");
  setup.store.write<float>(setup.store.weights(), fc2, std::vector<float>(200, 2.0f));
  loop.begin_epoch(in_order(6), rates, 0);
  loop.step();
  CHECK(loop.first_non_finite() == "fc2");
  CHECK(loop.metrics().first_non_finite_step == 0);
}

TEST_CASE("training: halted at a step whose loss is not finite, its weights and activations stay") {
  for (const bool halts : {true, false}) {
    CAPTURE(halts);
    Setup setup(1, 21);
    Sgd sgd(setup.store, {.momentum = 0.9});
    TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                             setup.loss, sgd, 6, {.halt_on_non_finite = halts});
    const std::vector<double> rates(4, 0.05);
    loop.begin_epoch(in_order(21), rates, 0);
    loop.step();
    const std::vector<float> before = flat_weights(setup.store);
    setup.store.write<float>(setup.store.weights(), setup.store.index_of("conv2.bias"),
                             std::vector<float>(32, std::numeric_limits<float>::max()));
    setup.store.write<float>(setup.store.weights(), setup.store.index_of("fc1.weight"),
                             std::vector<float>(32 * 3 * 3 * 20, 2.0f));
    const std::vector<float> damaged = flat_weights(setup.store);
    loop.step(100);  // nobody looks before the epoch has ended, the smaller batch included
    CHECK(loop.epoch_done());
    CHECK(loop.metrics().first_non_finite_step == 1);
    CHECK((flat_weights(setup.store) == damaged) == halts);
    if (!halts) continue;
    CHECK(loop.first_non_finite() == "fc1");
    CHECK(loop.counter().index == 1);
    CHECK(loop.counter().first == 6);
    CHECK(loop.metrics().steps == 2);
    CHECK(before != damaged);
  }
}

namespace {

// MSE whose gradient has an infinity at one step, as where a product in the backward pass overflows.
class OverflowingLoss final : public Loss {
 public:
  explicit OverflowingLoss(std::uint64_t step) : step_(step) {}
  std::string_view name() const override { return "overflowing"; }
  void run(Context& context, const LossBatch& batch) const override {
    mse_.run(context, batch);
    if (batch.step != nullptr && *batch.step == step_)
      *static_cast<float*>(batch.gradient) = std::numeric_limits<float>::infinity();
  }

 private:
  MseLoss mse_;
  std::uint64_t step_;
};

}  // namespace

TEST_CASE(
    "training: a step whose gradient is not finite, though its loss is, is noticed, and not taken if asked") {
  for (const bool use_adam : {false, true}) {
    for (const bool halts : {true, false}) {
      CAPTURE(use_adam, halts);
      Setup setup(1, 21);
      Sgd sgd(setup.store, {.momentum = 0.9});
      Adam adam(setup.store, {});
      Optimizer& optimizer = use_adam ? static_cast<Optimizer&>(adam) : sgd;
      const OverflowingLoss loss(1);
      TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident, loss,
                               optimizer, 6, {.halt_on_non_finite = halts});
      loop.begin_epoch(in_order(21), std::vector<double>(4, 0.05), 0);
      loop.step();
      const std::vector<float> before = flat_weights(setup.store);
      loop.step(100);  // nobody looks before the epoch has ended
      CHECK(loop.metrics().first_non_finite_step == 1);
      CHECK((flat_weights(setup.store) == before) == halts);
      if (!halts) continue;
      CHECK(loop.counter().index == 1);
      CHECK(loop.metrics().steps == 2);
      CHECK(std::isfinite(loop.metrics().loss));
      CHECK(loop.first_non_finite().empty());  // the forward pass was finite
    }
  }
}

TEST_CASE("training: several steps at once are those one by one") {
  const auto weights_after = [](std::int64_t at_once) {
    Setup setup(1, 23);
    Sgd sgd(setup.store, {.momentum = 0.9});
    TrainingLoop<float> loop(setup.context, network_of(setup.model, setup.store), setup.data.resident,
                             setup.loss, sgd, 4);
    const std::vector<double> rates{0.1, 0.02, 0.03, 0.04, 0.05, 0.06};
    loop.begin_epoch(in_order(23), rates, 0);
    std::int64_t calls = 0;
    for (; !loop.epoch_done(); ++calls) loop.step(at_once);
    CHECK(calls == (6 + at_once - 1) / at_once);
    CHECK(loop.counter().index == 6);
    return flat_weights(setup.store);
  };
  const std::vector<float> one_by_one = weights_after(1);
  CHECK(weights_after(4) == one_by_one);
  CHECK(weights_after(7) == one_by_one);
}

TEST_CASE("evaluation: agrees with a hand-made sum, for batches that divide the data and not") {
  Context context = cpu(2);
  const std::int64_t samples = 23, classes = 5;
  const ToyData<double> data(context, samples, {1, 6, 6}, classes, 1);
  const Sequential model = make_mlp({1, 6, 6}, classes, {});
  ParameterStore store(context, DType::f64, model.parameters());
  store.initialize(Initialization::kaiming_normal, 3);
  const std::vector<std::int32_t> labels = data.labels.read<std::int32_t>();
  const QmseLoss loss(QmseOptions{}, Reduction::element_mean);
  for (const std::int64_t batch : {1, 5, 23, 100}) {
    CAPTURE(batch);
    Evaluator<double> evaluator(context, network_of(model, store), data.resident, loss, batch);
    double expected = 0, residual = 0;
    std::int64_t correct = 0, seen = 0;
    const std::optional<EpochMetrics> found = evaluator.run([&](std::int64_t first) {
      const std::vector<double> batch_outputs = evaluator.outputs();
      const std::span<const double> outputs(batch_outputs);
      CHECK(first == seen);
      for (std::size_t row = 0; row * classes < outputs.size(); ++row, ++seen) {
        const auto f = outputs.subspan(row * classes, classes);
        const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(seen)]);
        double norm = 0;
        std::size_t best = 0;
        for (std::size_t i = 0; i < f.size(); ++i) {
          norm += (f[i] - (i == label)) * (f[i] - (i == label));
          if (f[i] > f[best]) best = i;
        }
        expected += 2.0 / classes * 0.5 * (norm * norm + norm / classes);  // the expectation over v
        residual += norm;
        correct += best == label;
      }
      return true;
    });
    CHECK(seen == samples);
    REQUIRE(found);
    const EpochMetrics& metrics = *found;
    CHECK(metrics.samples == samples);
    CHECK(metrics.loss == Approx(expected).epsilon(1e-12));
    CHECK(metrics.residual_sq == Approx(residual).epsilon(1e-12));
    CHECK(metrics.correct == correct);
    CHECK(evaluator.run().loss == metrics.loss);
    CHECK_FALSE(evaluator.run([](std::int64_t) { return false; }));
  }
}
