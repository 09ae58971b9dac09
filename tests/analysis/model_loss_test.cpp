// Products of the engine's models by differences: beside the exact ones of the same network, and for the CNN
// beside second differences of the loss alone.
#include "analysis/critical/model_loss.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<double> random_direction(std::size_t size, std::uint64_t seed) {
  RandomStream random(seed, RandomPurpose::test);
  std::vector<double> direction(size);
  for (double& value : direction) value = random.normal();
  return direction;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
    scale = std::max(scale, std::abs(b[i]));
  }
  return most / scale;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

TEST_CASE("model loss: an MLP's products by differences are the exact ones of the same network") {
  Context context = cpu(2);
  for (const Activation activation : {Activation::tanh, Activation::relu, Activation::sigmoid}) {
    TrainConfig config;
    config.model = "mlp";
    config.mlp_widths = {7, 5};
    config.activation = activation;
    const Shape image{2, 3, 3};
    const ModelDescription description = describe_model(config, image, 4);
    const Sequential model = make_model(description);
    ParameterStore store(context, DType::f64, model.parameters());
    store.initialize(Initialization::kaiming_normal, 3);
    const ToyData<double> data(context, 261, image, 4, 8);  // one batch of 256 and what is left
    const auto loss = make_loss("mse", {});
    ModelLoss surface(context, model, store, data.resident, *loss);
    const std::optional<ExactForm> form =
        exact_form(description, data.resident, "mse", Reduction::batch_mean);
    REQUIRE(form);
    MlpSurface exact(form->shape, {}, form->samples);
    REQUIRE(surface.parameters() == exact.parameters());
    const std::vector<double> w = flat_weights(store);
    std::vector<double> ours(w.size()), theirs(w.size());
    CHECK(surface.gradient(w, ours) == Approx(exact.gradient(w, theirs)).epsilon(1e-12));
    CHECK(surface.loss(w) == Approx(exact.loss(w)).epsilon(1e-12));
    CAPTURE(name(activation));
    CHECK(largest_difference(ours, theirs) < 1e-12);
    const std::vector<double> direction = random_direction(ours.size(), 5);
    for (const auto curvature : {Mlp::Curvature::hessian, Mlp::Curvature::gauss_newton}) {
      surface.curvature_product(w, direction, ours, curvature);
      exact.curvature_product(w, direction, theirs, curvature);
      CHECK(largest_difference(ours, theirs) < 1e-6);
    }
  }
}

TEST_CASE("model loss: the CNN's products are symmetric, and second differences of its loss agree") {
  Context context = cpu(2);
  TrainConfig config;
  config.conv_channels = {3, 4};
  config.fc_width = 6;
  const Shape image{1, 9, 9};
  const ModelDescription description = describe_model(config, image, 3);
  const Sequential model = make_model(description);
  ParameterStore store(context, DType::f64, model.parameters());
  store.initialize(Initialization::kaiming_normal, 2);
  const ToyData<double> data(context, 23, image, 3, 4);
  for (const char* name : {"mse", "cross_entropy", "qmse_expected"}) {
    const auto loss = make_loss(name, {});
    ModelLoss surface(context, model, store, data.resident, *loss);
    CHECK_FALSE(exact_form(description, data.resident, name, Reduction::batch_mean));
    const std::vector<double> w = flat_weights(store), a = random_direction(w.size(), 1),
                              b = random_direction(w.size(), 2);
    std::vector<double> ha(a.size()), hb(a.size()), ga(a.size()), gb(a.size());
    surface.curvature_product(w, a, ha, Mlp::Curvature::hessian);
    surface.curvature_product(w, b, hb, Mlp::Curvature::hessian);
    surface.curvature_product(w, a, ga, Mlp::Curvature::gauss_newton);
    surface.curvature_product(w, b, gb, Mlp::Curvature::gauss_newton);
    CAPTURE(name);
    const double scale = std::sqrt(dot(ha, ha) * dot(b, b));
    CHECK(std::abs(dot(ha, b) - dot(hb, a)) < 1e-6 * scale);
    CHECK(std::abs(dot(ga, b) - dot(gb, a)) < 1e-6 * scale);
    CHECK(dot(ga, a) > 0);
    if (name == std::string("qmse_expected")) continue;  // its value is no potential of its step
    // a^T H a from three losses along a, so near that no kink lies between.
    const double reach = 2e-6;
    const auto loss_at = [&](double by) {
      std::vector<double> moved = w;
      for (std::size_t i = 0; i < w.size(); ++i) moved[i] += by * a[i];
      return surface.loss(moved);
    };
    const double second = (loss_at(reach) - 2 * loss_at(0) + loss_at(-reach)) / (reach * reach);
    CHECK(second == Approx(dot(ha, a)).epsilon(5e-3));
  }
}

TEST_CASE("model loss: a loss that draws random numbers has no Hessian, and sizes are checked") {
  Context context = cpu(2);
  TrainConfig config;
  config.model = "mlp";
  config.mlp_widths = {2};
  const Shape image{1, 2, 2};
  const Sequential model = make_model(describe_model(config, image, 2));
  ParameterStore store(context, DType::f64, model.parameters());
  const ToyData<double> data(context, 5, image, 2, 1);
  const auto qmse = make_loss("qmse", {}), mse = make_loss("mse", {});
  CHECK_THROWS_AS(ModelLoss(context, model, store, data.resident, *qmse), ConfigError);
  ModelLoss surface(context, model, store, data.resident, *mse);
  const std::vector<double> w = flat_weights(store), still(w.size());
  std::vector<double> small(3);
  for (const auto curvature : {Mlp::Curvature::hessian, Mlp::Curvature::gauss_newton}) {
    CHECK_THROWS_AS(surface.curvature_product(w, still, small, curvature), ShapeError);
    std::vector<double> product(w.size(), 1);
    surface.curvature_product(w, still, product, curvature);
    CHECK(product == still);
  }
  CHECK_THROWS_AS(surface.loss(small), ShapeError);
}
