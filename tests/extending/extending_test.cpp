// The examples of docs/extending.md, at work.
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>

#include "engine/training_loop.h"
#include "losses/residual_loss.h"
#include "models/layers.h"
#include "models/sequential.h"
#include "optim/optimizers.h"
#include "tests/extending/huber.h"
#include "tests/extending/softsign_layer.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

Sequential make_model() {
  Sequential model({1, 5, 4});
  model.emplace<FlattenLayer>("flatten")
      .emplace<LinearLayer>("fc1", 6)
      .emplace<example::SoftsignLayer>("softsign")
      .emplace<LinearLayer>("fc2", 3);
  return model;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("extending: gradients of the example layer and loss agree with central differences") {
  Context context = cpu(2);
  const std::int64_t samples = 4;
  const ToyData<double> data(context, samples, {1, 5, 4}, 3, 1);
  const Sequential model = make_model();
  ParameterStore store(context, DType::f64, model.parameters());
  store.initialize(Initialization::pytorch, 2);
  const ResidualLoss<example::HuberRule> loss;
  BatchPass<double> pass(context, network_of(model, store), data.resident, loss, samples, {});
  const std::vector<std::uint32_t> order{0, 1, 2, 3};
  const std::uint64_t zero = 0;
  const std::vector<std::int32_t> labels = data.labels.read<std::int32_t>();
  const auto reference = [&] {
    pass.tape().forward();
    const std::vector<double> f = values<double>(pass.tape(), pass.output());
    double sum = 0;
    for (std::size_t row = 0; row < 4; ++row) {
      for (std::size_t i = 0; i < 3; ++i) {
        const double r = std::abs((static_cast<std::int32_t>(i) == labels[row] ? 1.0 : 0.0) - f[row * 3 + i]);
        sum += r <= 1 ? r * r / 2 : r - 0.5;
      }
    }
    return sum / 4;
  };
  pass.train(order.data(), &zero, &zero);
  const auto* found = static_cast<const double*>(store.gradients());
  const std::vector<double> gradients(found, found + store.flat_size());
  auto* weights = static_cast<double*>(store.weights());
  for (std::size_t p = 0; p < store.size(); ++p) {
    for (std::int64_t i = 0; i < store.spec(p).shape.count(); ++i) {
      CAPTURE(store.spec(p).name, i);
      double& w = weights[store.offset(p) + i];
      const double kept = w, h = 1e-5;
      w = kept + h;
      const double above = reference();
      w = kept - h;
      const double below = reference();
      w = kept;
      // Softsign has a kink of second order at 0 only, Huber's loss at |r| = 1; 1e-6 is far above rounding
      // (1e-16 / h) and truncation (h^2).
      REQUIRE(gradients[static_cast<std::size_t>(store.offset(p) + i)] ==
              Approx((above - below) / (2 * h)).epsilon(1e-6).margin(1e-9));
    }
  }
}

TEST_CASE("extending: the example layer and loss train") {
  Context context = cpu(2);
  const ToyData<float> data(context, 32, {1, 5, 4}, 3, 1);
  const Sequential model = make_model();
  ParameterStore store(context, DType::f32, model.parameters());
  store.initialize(Initialization::pytorch, 2);
  const ResidualLoss<example::HuberRule> loss;
  Sgd sgd(store, {.momentum = 0.9});
  TrainingLoop<float> loop(context, network_of(model, store), data.resident, loss, sgd, 8);
  std::vector<std::uint32_t> order(32);
  std::iota(order.begin(), order.end(), 0u);
  const std::vector<double> rates(4, 0.02);
  double first = 0;
  for (int epoch = 0; epoch < 40; ++epoch) {
    loop.begin_epoch(order, rates, 0);
    while (!loop.epoch_done()) loop.step();
    if (epoch == 0) first = loop.metrics().loss;
  }
  CHECK(loop.metrics().loss < 0.5 * first);
}

TEST_CASE("extending: every code block of docs/extending.md is part of a file") {
  const std::string root = QMSE_SOURCE_DIR;
  std::istringstream page(read_text(root + "/docs/extending.md"));
  std::string line, file, block;
  bool inside = false;
  int blocks = 0;
  while (std::getline(page, line)) {
    if (!inside && line.starts_with("`") && line.ends_with("`")) file = line.substr(1, line.size() - 2);
    if (line == "```cpp") {
      inside = true;
      block.clear();
    } else if (inside && line == "```") {
      inside = false;
      ++blocks;
      CAPTURE(file, block);
      REQUIRE_FALSE(file.empty());
      CHECK(read_text(root + "/" + file).find(block) != std::string::npos);
    } else if (inside) {
      block += line + "\n";
    }
  }
  CHECK(blocks >= 6);
}
