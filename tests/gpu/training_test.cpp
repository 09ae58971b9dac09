// Whole networks: gradients and loss curves against the CPU's, and the bits of a training that must not
// depend on how its steps are queued.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/training_loop.h"
#include "losses/qmse.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "tests/gpu/device.h"
#include "tests/support/cpu.h"
#include "tests/support/error_message.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Sequential small_cnn() {
  return make_simple_cnn({3, 12, 12}, 10, {.conv_channels = {16, 48}, .fc_width = 20});
}

// For bits, which do not depend on the sizes: those of small_cnn() take the stand-in a minute a test.
Sequential tiny_cnn() { return make_simple_cnn({3, 12, 12}, 10, {.conv_channels = {6, 9}, .fc_width = 12}); }

// A training over toy data, in the precision of T. The seeds fix all of it.
template <class T>
struct Training {
  struct Options {
    bool adam = false;
    TrainingLoopOptions loop = {};
    std::int64_t batch = 4;
    double rate = 0.02;
  };

  Training(Context& c, Sequential network, std::int64_t sample_count, const Options& options)
      : context(c),
        samples(sample_count),
        data(c, sample_count, {3, 12, 12}, 10, 3),
        model(std::move(network)),
        store(c, dtype_of<T>(), model.parameters()),
        sgd(store, {.momentum = 0.9}),
        adam(store, {}),
        loop(c, network_of(model, store), data.resident, loss,
             options.adam ? static_cast<Optimizer&>(adam) : sgd, options.batch, options.loop),
        order(static_cast<std::size_t>(sample_count)),
        rates(static_cast<std::size_t>(loop.steps_per_epoch()), options.rate) {
    store.initialize(Initialization::pytorch, 4);
    std::iota(order.begin(), order.end(), 0u);
    std::rotate(order.begin(), order.begin() + sample_count / 3, order.end());
  }

  std::vector<T> weights() const {
    std::vector<T> all(static_cast<std::size_t>(store.flat_size()));
    device_to_host(context, all.data(), store.weights(), all.size() * sizeof(T));
    return all;
  }

  // The same without what lies between the parameters, which differs between f32 and f64.
  std::vector<double> values() const {
    std::vector<double> all;
    for (std::size_t p = 0; p < store.size(); ++p) {
      const std::vector<T> some = store.template read<T>(store.weights(), p);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  // Two epochs, `at_once` steps a call.
  std::vector<T> run(std::int64_t at_once) {
    for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
      loop.begin_epoch(order, rates, epoch * static_cast<std::uint64_t>(loop.steps_per_epoch()));
      while (!loop.epoch_done()) loop.step(at_once);
    }
    return weights();
  }

  Context& context;
  std::int64_t samples;
  ToyData<T> data;
  Sequential model;
  ParameterStore store;
  QmseLoss loss{QmseOptions{.seed = 6}};
  Sgd sgd;
  Adam adam;
  TrainingLoop<T> loop;
  std::vector<std::uint32_t> order;
  std::vector<double> rates;
};

// Gradients of the first batch, parameter by parameter.
template <class T>
std::vector<std::vector<double>> gradients_of(Context& context, const Sequential& model) {
  const ToyData<T> data(context, 40, {3, 12, 12}, 10, 3);
  ParameterStore store(context, dtype_of<T>(), model.parameters());
  store.initialize(Initialization::pytorch, 4);
  const QmseLoss loss{QmseOptions{.seed = 6}};
  BatchPass<T> pass(context, network_of(model, store), data.resident, loss, 32, {});
  std::vector<std::uint32_t> order(40);
  std::iota(order.begin(), order.end(), 0u);
  const std::uint64_t numbers[2] = {3, 17};  // first sample, step
  const Buffer order_there(context.memory(), order.size() * sizeof(std::uint32_t), "order");
  const Buffer numbers_there(context.memory(), sizeof(numbers), "numbers");
  host_to_device(context, order_there.data(), order.data(), order.size() * sizeof(std::uint32_t));
  host_to_device(context, numbers_there.data(), numbers, sizeof(numbers));
  pass.train(order_there.as<std::uint32_t>(), numbers_there.as<std::uint64_t>(),
             numbers_there.as<std::uint64_t>() + 1);
  std::vector<std::vector<double>> gradients;
  for (std::size_t index = 0; index < store.size(); ++index) {
    std::vector<T> values(static_cast<std::size_t>(store.spec(index).shape.count()));
    device_to_host(context, values.data(), store.gradients(index), values.size() * sizeof(T));
    gradients.emplace_back(values.begin(), values.end());
  }
  return gradients;
}

// The largest difference of any gradient, relative to its parameter's largest.
double gradient_error(Context& device, const Sequential& model) {
  Context host = cpu(1);
  const auto expected = gradients_of<double>(host, model);
  const auto actual = gradients_of<float>(device, model);
  double worst = 0;
  for (std::size_t p = 0; p < expected.size(); ++p) {
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < expected[p].size(); ++i) {
      largest = std::max(largest, std::abs(expected[p][i]));
      const double d = std::abs(actual[p][i] - expected[p][i]);
      difference = std::isnan(d) ? INFINITY : std::max(difference, d);
    }
    worst = std::max(worst, difference / largest);
  }
  return worst;
}

// The largest difference of what the last of so many steps, each queued alone, changed in the weights,
// relative to the largest change.
double update_error(Context& device, std::int64_t steps) {
  const auto update = [steps](auto&& training) {
    training.loop.begin_epoch(training.order, training.rates, 0);
    training.loop.step(steps - 1);
    std::vector<double> change = training.values();
    for (double& value : change) value = -value;
    training.loop.step();
    const std::vector<double> after = training.values();
    for (std::size_t i = 0; i < after.size(); ++i) change[i] += after[i];
    return change;
  };
  Context host = cpu(1);
  const std::vector<double> expected = update(Training<double>(host, small_cnn(), 40, {.rate = 0.5})),
                            actual = update(Training<float>(device, small_cnn(), 40, {.rate = 0.5}));
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    const double difference = std::abs(actual[i] - expected[i]);
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  return largest == 0 ? INFINITY : worst / largest;
}

// The batch losses of so many steps.
template <class T>
std::vector<double> loss_curve(Context& context, std::int64_t steps) {
  Training<T> training(context, small_cnn(), steps * 8, {.batch = 8, .rate = 0.005});
  training.loop.begin_epoch(training.order, training.rates, 0);
  std::vector<double> losses;
  while (!training.loop.epoch_done()) {
    training.loop.step();
    losses.push_back(training.loop.metrics().last_loss);
  }
  return losses;
}

bool same(const EpochMetrics& a, const EpochMetrics& b) {
  return a.loss == b.loss && a.residual_sq == b.residual_sq && a.gradient_norm_sq == b.gradient_norm_sq &&
         a.correct == b.correct && a.samples == b.samples && a.steps == b.steps && a.last_loss == b.last_loss;
}

// More than two graphs' worth of steps and a smaller batch at the end.
constexpr std::int64_t kSamples = 4 * (2 * StepGraph::kRepetitions + 5) + 3;

}  // namespace

TEST_CASE("training: gradients of a smooth network are the CPU's in f64, up to rounding", "[training]") {
  const auto device = device_context();
  if (!device) return;
  // Four layers' sums of up to 432 products in f32.
  CHECK(gradient_error(*device, make_mlp({3, 12, 12}, 10,
                                         {.widths = {40, 30, 20}, .activation = Activation::tanh})) < 1e-5);
}

TEST_CASE("training: gradients of the CNN are the CPU's in f64", "[training]") {
  const auto device = device_context();
  if (!device) return;
  // Rounding gives some 1e-6; one value next to a kink of ReLU or max-pool that falls on the other side in
  // f32 can give 1e-3.
  CHECK(gradient_error(*device, small_cnn()) < 2e-3);
}

TEST_CASE("training: steps replayed from graphs, many at once, are those queued one by one", "[training]") {
  const auto device = device_context();
  if (!device) return;
  for (const bool adam : {false, true}) {
    CAPTURE(adam);
    Training<float> plain(*device, tiny_cnn(), kSamples, {.adam = adam, .loop = {.capture = false}});
    const std::vector<float> expected = plain.run(1);
    for (const std::int64_t at_once : {1, 7, 1000}) {
      CAPTURE(at_once);
      Training<float> captured(*device, tiny_cnn(), kSamples, {.adam = adam});
      CHECK(captured.run(at_once) == expected);
      CHECK(same(captured.loop.metrics(), plain.loop.metrics()));
      CHECK(captured.loop.counter().step == plain.loop.counter().step);
    }
  }
}

TEST_CASE("training: the same seeds give the same bits, in a context of its own too", "[training]") {
  const auto first = device_context();
  if (!first) return;
  const std::vector<float> expected = Training<float>(*first, tiny_cnn(), kSamples, {}).run(1000);
  CHECK(Training<float>(*first, tiny_cnn(), kSamples, {}).run(1000) == expected);
  const auto second = device_context();
  CHECK(Training<float>(*second, tiny_cnn(), kSamples, {}).run(1000) == expected);
}

TEST_CASE("training: an epoch resumed in the middle gives the same bits", "[training]") {
  const auto device = device_context();
  if (!device) return;
  Training<float> whole(*device, tiny_cnn(), kSamples, {});
  whole.loop.begin_epoch(whole.order, whole.rates, 0);
  whole.loop.step(1000);

  Training<float> stopped(*device, tiny_cnn(), kSamples, {});
  stopped.loop.begin_epoch(stopped.order, stopped.rates, 0);
  stopped.loop.step(StepGraph::kRepetitions + 3);
  const auto flat = static_cast<std::size_t>(stopped.store.flat_size());
  std::vector<float> weights = stopped.weights(), momenta(flat);
  device_to_host(*device, momenta.data(), stopped.sgd.state()[0].flat, flat * sizeof(float));

  Training<float> resumed(*device, tiny_cnn(), kSamples, {});
  host_to_device(*device, resumed.store.weights(), weights.data(), flat * sizeof(float));
  host_to_device(*device, resumed.sgd.state()[0].flat, momenta.data(), flat * sizeof(float));
  resumed.loop.resume_epoch(resumed.order, resumed.rates, stopped.loop.counter(), stopped.loop.metrics());
  resumed.loop.step(1000);
  CHECK(resumed.weights() == whole.weights());
  CHECK(same(resumed.loop.metrics(), whole.loop.metrics()));
}

// scripts/gpu-check runs these two before everything else, so that a first failure on a GPU says where.
TEST_CASE("training: one step queued piece by piece is the CPU's in f64", "[training][first-eager]") {
  const auto device = device_context();
  if (device) CHECK(update_error(*device, 1) < 2e-3);
}

TEST_CASE("training: one step replayed from a graph is the CPU's in f64", "[training][first-captured]") {
  const auto device = device_context();
  if (device) CHECK(update_error(*device, 2) < 2e-3);  // the first step is never replayed
}

TEST_CASE("training: 200 steps follow the CPU's loss curve", "[training]") {
  const auto device = device_context();
  if (!device) return;
  Context host = cpu(1);
  const std::vector<double> expected = loss_curve<double>(host, 200);
  const std::vector<double> actual = loss_curve<float>(*device, 200);
  double mean = 0, worst = 0;
  for (const double loss : expected) mean += loss / 200;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(actual[i] - expected[i]);
    worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
  }
  INFO("largest difference from f64 is " << worst / mean << " of the mean loss");
  CHECK(expected.back() != expected.front());
  CHECK(worst < 1e-4 * mean);  // f32 on the CPU: 3e-7; the rest is for a value next to a kink
}

TEST_CASE("training: steps and evaluations allocate nothing once they have run", "[training]") {
  const auto device = device_context();
  if (!device) return;
  Training<float> training(*device, small_cnn(), kSamples, {});
  Evaluator<float> evaluator(*device, network_of(training.model, training.store), training.data.resident,
                             training.loss, 32);
  training.run(1000);
  evaluator.run();
  const std::int64_t allocations = device->memory().allocation_count();
  training.run(1000);
  evaluator.run();
  CHECK(device->memory().allocation_count() == allocations);
}

TEST_CASE("training: the layer whose output overflows is named although nobody looked for many steps",
          "[training]") {
  const auto device = device_context();
  if (!device) return;
  Training<float> training(*device, small_cnn(), kSamples, {.loop = {.halt_on_non_finite = true}});
  training.loop.begin_epoch(training.order, training.rates, 0);
  training.loop.step(5);
  training.store.write<float>(training.store.weights(), training.store.index_of("conv2.bias"),
                              std::vector<float>(48, std::numeric_limits<float>::max()));
  training.store.write<float>(training.store.weights(), training.store.index_of("fc1.weight"),
                              std::vector<float>(48 * 3 * 3 * 20, 2.0f));
  const std::vector<float> damaged = training.weights();
  training.loop.step(1000);
  CHECK(training.loop.metrics().first_non_finite_step == 5);
  CHECK(training.loop.first_non_finite() == "fc1");
  CHECK(training.loop.counter().index == 5);
  CHECK(training.weights() == damaged);
}

TEST_CASE("training: evaluation is the CPU's, whatever the batches", "[training]") {
  const auto device = device_context();
  if (!device) return;
  Context host = cpu(1);
  Training<double> reference(host, small_cnn(), kSamples, {});
  Training<float> training(*device, small_cnn(), kSamples, {});
  const EpochMetrics expected = Evaluator<double>(host, network_of(reference.model, reference.store),
                                                  reference.data.resident, reference.loss, 50)
                                    .run();
  for (const std::int64_t batch : {3, 50, 1000}) {
    for (const bool capture : {true, false}) {
      CAPTURE(batch, capture);
      Evaluator<float> evaluator(*device, network_of(training.model, training.store), training.data.resident,
                                 training.loss, batch, capture);
      for (int repeat = 0; repeat < 3; ++repeat) {  // eager, captured, replayed
        const EpochMetrics metrics = evaluator.run();
        CHECK(metrics.samples == kSamples);
        CHECK(metrics.loss == Approx(expected.loss).epsilon(1e-5));
        CHECK(metrics.residual_sq == Approx(expected.residual_sq).epsilon(1e-5));
        CHECK(std::abs(metrics.correct - expected.correct) <= 1);  // two outputs may be equal up to rounding
      }
    }
  }
}

TEST_CASE("training: memory that is not there is an error that names the request, and the rest goes on",
          "[training]") {
  const auto device = device_context();
  if (!device) return;
  const std::string message = message_of<OutOfMemory>(
      [&] { Buffer(device->memory(), std::size_t{1} << 46, "far too many activations"); });
  CHECK(missing(message, {"out of memory", "far too many activations", "free"}) == "");
  Training<float> training(*device, small_cnn(), 20, {});
  CHECK_NOTHROW(training.run(1));
}
