// The figures of --diagnose, beside those of f64, of closed forms and of exact eigenvalues on the same images.
#include "experiment/run/diagnosis.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "algebra/lanczos.h"
#include "analysis/critical/model_loss.h"
#include "analysis/inspect/jacobian.h"
#include "analysis/inspect/stationarity.h"
#include "analysis/inspect/units.h"
#include "random/shuffle.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::int64_t kClasses = 3;

TrainConfig config_with(const char* model, const char* loss) {
  TrainConfig config;
  config.model = model;
  config.conv_channels = {3, 4};
  config.fc_width = 6;
  config.mlp_widths = {7, 5};
  config.activation = Activation::tanh;
  config.loss = loss;
  config.batch_size = 16;
  config.seed = 5;
  resolve_defaults(config);
  return config;
}

// A network, f32 and with the same weights in f64, and `samples` images.
struct Trained {
  Trained(Context& context, const TrainConfig& config, std::int64_t samples)
      : model(make_model(describe_model(config, kImage, kClasses))),
        store(context, DType::f32, model.parameters()),
        exact(context, DType::f64, model.parameters()),
        data(context, samples, kImage, kClasses, 4),
        exact_data(context, samples, kImage, kClasses, 4) {
    store.initialize(Initialization::kaiming_normal, 2);
  }
  // Outputs near 1/3, where residuals are short enough for a < 0.
  void shrink_outputs(const std::string& layer) {
    scale(layer + ".weight", 0.05f);
    store.write<float>(store.weights(), store.index_of(layer + ".bias"),
                       std::vector<float>(kClasses, 1 / 3.0f));
  }
  void scale(const std::string& name, float factor) {
    std::vector<float> values = store.read<float>(store.weights(), store.index_of(name));
    for (float& value : values) value *= factor;
    store.write<float>(store.weights(), store.index_of(name), values);
  }
  void copy_weights() {
    for (std::size_t i = 0; i < store.size(); ++i) {
      const std::vector<float> from = store.read<float>(store.weights(), i);
      exact.write<double>(exact.weights(), i, std::vector<double>(from.begin(), from.end()));
    }
  }

  const Shape kImage{1, 9, 9};
  Sequential model;
  ParameterStore store, exact;
  ToyData<float> data;
  ToyData<double> exact_data;
};

// Of the same images: the first `count` of the order of an epoch that there never is.
struct Chosen {
  Chosen(Context& context, const ToyData<double>& from, std::uint64_t seed, std::int64_t count)
      : data(context, count, from.resident.sample_shape, kClasses, 0) {
    std::vector<std::uint32_t> order(static_cast<std::size_t>(from.resident.samples));
    shuffled_order(seed, UINT32_MAX, from.resident.samples, order.data());
    const std::int64_t pixels = from.resident.sample_shape.count();
    auto* images = data.images.as<std::uint8_t>();
    auto* labels = data.labels.as<std::int32_t>();
    for (std::int64_t n = 0; n < count; ++n) {
      const std::int64_t at = order[static_cast<std::size_t>(n)];
      std::copy_n(from.resident.images + at * pixels, pixels, images + n * pixels);
      labels[n] = from.resident.labels[at];
    }
  }
  ToyData<double> data;
};

std::int64_t dead_units(Trained& trained, const std::vector<double>& inputs, bool relu) {
  const auto images = static_cast<std::int64_t>(inputs.size()) / trained.kImage.count();
  Tape tape(trained.exact.context(), {.dtype = DType::f64, .gradients = false, .fuse = false});
  const Value input = tape.input("input", trained.kImage.with_batch(images));
  trained.model.record(tape, trained.exact, input);
  std::copy(inputs.begin(), inputs.end(), tape.data_as<double>(input));
  tape.forward();
  UnitCounter counter(tape, trained.exact, relu);
  counter.add(images);
  std::int64_t dead = 0;
  for (const LayerUnits& layer : counter.counts()) dead += layer.dead;
  return dead;
}

}  // namespace

TEST_CASE("diagnosis: its figures are those of f64, of closed forms and of exact eigenvalues") {
  Context context = cpu(2);
  for (const auto& [kind, loss, samples] :
       {std::tuple("cnn", "qmse", 150), std::tuple("cnn", "mse", 150), std::tuple("mlp", "qmse", 70)}) {
    CAPTURE(kind, loss, samples);
    const TrainConfig config = config_with(kind, loss);
    Trained trained(context, config, samples);
    trained.shrink_outputs(std::string(kind) == "cnn" ? "fc2" : "fc3");
    if (std::string(kind) == "cnn") {
      std::vector<float> bias =
          trained.store.read<float>(trained.store.weights(), trained.store.index_of("conv1.bias"));
      bias[1] = -50;
      trained.store.write<float>(trained.store.weights(), trained.store.index_of("conv1.bias"), bias);
    }
    trained.copy_weights();
    Diagnoser diagnoser(config, context, trained.model, trained.data.resident);
    const Diagnosis found = diagnoser.run(trained.store, 7);

    const std::int64_t images = std::min<std::int64_t>(samples, 128);
    Chosen chosen(context, trained.exact_data, *config.seed_data, images);
    const auto exact_loss = make_loss(std::string(loss) == "qmse" ? "qmse_expected" : loss, {});
    const std::uint64_t first = 0;
    std::vector<std::uint32_t> order(static_cast<std::size_t>(images));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
    BatchPass<double> pass(context, network_of(trained.model, trained.exact), chosen.data.resident,
                           *exact_loss, images, {});
    pass.evaluate(order.data(), &first);
    const std::vector<double> inputs = values<double>(pass.tape(), pass.input());
    std::vector<double> r = values<double>(pass.tape(), pass.output());
    for (double& value : r) value = -value;
    for (std::int64_t n = 0; n < images; ++n)
      r[static_cast<std::size_t>(n * kClasses + pass.labels()[n])] += 1;
    ThreadPool threads(2);
    const Stationarity s =
        stationarity({.samples = images,
                      .outputs = kClasses,
                      .residual = r,
                      .gram = jacobian_gram({&trained.model, &trained.exact, inputs, images}, threads),
                      .batch = config.batch_size});

    CHECK(found.residual_norm ==
          Approx(s.residual_norm / std::sqrt(static_cast<double>(images))).epsilon(1e-5));
    std::vector<double> squares = s.residual_sq;
    std::sort(squares.begin(), squares.end());
    const auto below = [&](double square) {
      return std::count_if(squares.begin(), squares.end(),
                           [&](double other) { return other <= square * (1 + 1e-5); });
    };
    CHECK(below(found.residual_sq_q10) == (images + 9) / 10);
    CHECK(below(found.residual_sq_q50) == (images + 1) / 2);
    CHECK(below(found.residual_sq_q90) == (9 * images + 9) / 10);
    CHECK(found.residual_sq_max == Approx(squares.back()).epsilon(1e-5));
    CHECK(found.mse_gradient == Approx(s.gradient_norm).epsilon(1e-4));
    CHECK(found.qmse_gradient == Approx(s.drift_norm).epsilon(1e-4));
    CHECK(found.cosine == Approx(s.drift_cosine).epsilon(1e-4));
    // Each is the mean square of eight draws, of noise that may lie in one direction.
    double noise = 0;
    for (int step = 0; step < 40; ++step)
      noise += std::pow(diagnoser.run(trained.store, step).noise_to_drift, 2) / 40;
    CHECK(std::sqrt(noise) == Approx(s.noise_norm / s.drift_norm).epsilon(0.15));
    CHECK(found.noise_to_drift == Approx(s.noise_norm / s.drift_norm).epsilon(0.75));
    // In three dimensions the projection of a random direction is uniform.
    double share = 0;
    for (const double square : s.residual_sq)
      share += std::max(0.0, (1 - std::sqrt(square)) / 2) / static_cast<double>(images);
    CHECK(share > 0.02);
    CHECK(std::abs(found.negative_share - share) <
          4 * std::sqrt(share * (1 - share) / static_cast<double>(8 * images)));
    CHECK(found.dead_units == dead_units(trained, inputs, std::string(kind) == "cnn"));

    ModelLoss surface(context, trained.model, trained.exact, chosen.data.resident, *exact_loss);
    const std::vector<double> w = flat_weights(trained.exact);
    const ExtremeEigenpairs top =
        extreme_eigenpairs(curvature_of(surface, w), static_cast<std::int64_t>(w.size()), 1, SpectrumEnd::top,
                           1, {.tolerance = 1e-5});
    CHECK(found.sharpness == Approx(top.pairs.at(0).value).epsilon(0.1));
    CHECK(found.seconds > 0);
  }
}

TEST_CASE("diagnosis: it changes no weight, and the same weights and steps give the same figures again") {
  Context context = cpu(2);
  const TrainConfig config = config_with("cnn", "qmse");
  Trained trained(context, config, 40);
  const auto bits = [&] {
    const auto* at = static_cast<const float*>(trained.store.weights());
    return std::vector<float>(at, at + trained.store.flat_size());
  };
  const std::vector<float> before = bits();
  Diagnoser diagnoser(config, context, trained.model, trained.data.resident);
  const Diagnosis first = diagnoser.run(trained.store, 7), other = diagnoser.run(trained.store, 8);
  CHECK(bits() == before);
  Context single = cpu(1);
  Trained again(single, config, 40);
  Diagnoser fresh(config, single, again.model, again.data.resident);
  const Diagnosis second = fresh.run(again.store, 7);
  CHECK(first.noise_to_drift == second.noise_to_drift);
  CHECK(first.sharpness == second.sharpness);
  CHECK(first.cosine == second.cosine);
  CHECK(first.noise_to_drift != other.noise_to_drift);  // other draws
  CHECK(first.sharpness == other.sharpness);
}

TEST_CASE("diagnosis: outputs that are not finite are figures that are none, and no error") {
  Context context = cpu(1);
  const TrainConfig config = config_with("mlp", "qmse");
  Trained trained(context, config, 30);
  trained.scale("fc3.weight", INFINITY);
  Diagnoser diagnoser(config, context, trained.model, trained.data.resident);
  const Diagnosis found = diagnoser.run(trained.store, 0);
  CHECK(std::isnan(found.residual_norm));
  CHECK(std::isnan(found.sharpness));
  CHECK(std::isnan(found.negative_share));
  // Finite, but not beside them.
  Trained far(context, config, 30);
  far.scale("fc3.weight", 1e18f);
  Diagnoser second(config, context, far.model, far.data.resident);
  CHECK_NOTHROW(second.run(far.store, 0));
}
