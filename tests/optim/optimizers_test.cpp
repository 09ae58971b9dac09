#include <cmath>
#include <limits>

#include "optim/optimizers.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::size_t kSize = 21;  // more than one vector, and not a multiple of one

struct Setup {
  Context context = cpu();
  ParameterStore store{context, DType::f64, {{"w", {static_cast<std::int64_t>(kSize)}}}};
  std::vector<double> w = std::vector<double>(kSize);

  Setup() {
    for (std::size_t i = 0; i < kSize; ++i) w[i] = std::cos(static_cast<double>(i));
    store.write<double>(store.weights(), 0, w);
  }
  // The gradient of step t, and what a plain reference does with it.
  static double gradient(std::size_t i, int t) { return std::sin(static_cast<double>(i) + 0.7 * t); }

  void step(Optimizer& optimizer, int t, double rate) {
    std::vector<double> g(kSize);
    for (std::size_t i = 0; i < kSize; ++i) g[i] = gradient(i, t);
    store.write<double>(store.gradients(), 0, g);
    const auto taken = static_cast<std::uint64_t>(t);
    optimizer.step({&rate, &taken});
  }
  void check_weights() {
    const std::vector<double> found = store.read<double>(store.weights(), 0);
    for (std::size_t i = 0; i < kSize; ++i) CHECK(found[i] == Approx(w[i]).epsilon(1e-13).margin(1e-15));
  }
};

}  // namespace

TEST_CASE("optimizers: SGD follows PyTorch's rule over several steps") {
  for (const SgdHyper& hyper :
       {SgdHyper{}, SgdHyper{.momentum = 0.9}, SgdHyper{.momentum = 0.5, .weight_decay = 0.1},
        SgdHyper{.momentum = 0.9, .weight_decay = 0.01, .nesterov = true}}) {
    CAPTURE(hyper.momentum, hyper.weight_decay, hyper.nesterov);
    Setup setup;
    Sgd sgd(setup.store, hyper);
    std::vector<double> momentum(kSize);
    for (int t = 0; t < 4; ++t) {
      const double rate = 0.1 / (t + 1);
      for (std::size_t i = 0; i < kSize; ++i) {
        const double raw = Setup::gradient(i, t);
        const double g = raw + hyper.weight_decay * setup.w[i];
        momentum[i] = hyper.momentum * momentum[i] + g;
        setup.w[i] -= rate * (hyper.nesterov ? g + hyper.momentum * momentum[i] : momentum[i]);
      }
      setup.step(sgd, t, rate);
      setup.check_weights();
    }
  }
}

TEST_CASE("optimizers: Adam follows PyTorch's rule over several steps") {
  for (const double decay : {0.0, 0.1}) {
    Setup setup;
    Adam adam(setup.store, {.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = decay});
    std::vector<double> m(kSize), s(kSize);
    for (int t = 0; t < 4; ++t) {
      for (std::size_t i = 0; i < kSize; ++i) {
        const double g = Setup::gradient(i, t) + decay * setup.w[i];
        m[i] = 0.8 * m[i] + 0.2 * g;
        s[i] = 0.9 * s[i] + 0.1 * g * g;
        const double m_hat = m[i] / (1 - std::pow(0.8, t + 1)), s_hat = s[i] / (1 - std::pow(0.9, t + 1));
        setup.w[i] -= 0.05 * m_hat / (std::sqrt(s_hat) + 1e-3);
      }
      setup.step(adam, t, 0.05);
      setup.check_weights();
    }
  }
}

TEST_CASE("optimizers: RMSprop follows PyTorch's rule over several steps") {
  for (const bool centered : {false, true}) {
    for (const double momentum : {0.0, 0.7}) {
      CAPTURE(centered, momentum);
      Setup setup;
      Rmsprop rmsprop(
          setup.store,
          {.alpha = 0.8, .epsilon = 1e-3, .weight_decay = 0.1, .momentum = momentum, .centered = centered});
      std::vector<double> s(kSize), a(kSize), b(kSize);
      for (int t = 0; t < 4; ++t) {
        for (std::size_t i = 0; i < kSize; ++i) {
          const double g = Setup::gradient(i, t) + 0.1 * setup.w[i];
          s[i] = 0.8 * s[i] + 0.2 * g * g;
          a[i] = 0.8 * a[i] + 0.2 * g;
          const double square = centered ? s[i] - a[i] * a[i] : s[i];
          b[i] = momentum * b[i] + g / (std::sqrt(square) + 1e-3);
          setup.w[i] -= 0.01 * b[i];
        }
        setup.step(rmsprop, t, 0.01);
        setup.check_weights();
      }
    }
  }
}

TEST_CASE("optimizers: state is what a checkpoint has to keep") {
  Setup setup;
  CHECK(Sgd(setup.store, {}).state().empty());
  Sgd sgd(setup.store, {.momentum = 0.9});
  REQUIRE(sgd.state().size() == 1);
  CHECK(sgd.state()[0].name == "momentum");
  setup.step(sgd, 0, 0.1);
  CHECK(setup.store.read<double>(sgd.state()[0].flat, 0)[3] == Setup::gradient(3, 0));
  Adam adam(setup.store, {});
  REQUIRE(adam.state().size() == 2);
  CHECK(adam.state()[0].name == "first_moment");
  CHECK(adam.state()[1].name == "second_moment");
  const auto names = [&](const RmspropHyper& hyper) {
    std::string all;
    for (const Optimizer::State& state : Rmsprop(setup.store, hyper).state()) all += state.name + " ";
    return all;
  };
  CHECK(names({}) == "square_average ");
  CHECK(names({.momentum = 0.9}) == "square_average momentum ");
  CHECK(names({.centered = true}) == "square_average gradient_average ");
  CHECK(names({.momentum = 0.9, .centered = true}) == "square_average momentum gradient_average ");
}

TEST_CASE("optimizers: padding between parameters stays zero") {
  Setup setup;
  Sgd sgd(setup.store, {.momentum = 0.9, .weight_decay = 0.1});
  Adam adam(setup.store, {.weight_decay = 0.1});
  Rmsprop rmsprop(setup.store, {.weight_decay = 0.1, .momentum = 0.9, .centered = true});
  for (int t = 0; t < 3; ++t) {
    setup.step(sgd, t, 0.1);
    setup.step(rmsprop, t, 0.1);
    setup.step(adam, t, 0.1);
  }
  const auto* flat = static_cast<const double*>(setup.store.weights());
  for (std::int64_t i = static_cast<std::int64_t>(kSize); i < setup.store.flat_size(); ++i)
    CHECK(flat[i] == 0.0);
}

TEST_CASE("optimizers: settings out of range are refused") {
  Setup setup;
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const double momentum : {-0.1, 1.0, nan})
    CHECK_THROWS_AS(Sgd(setup.store, {.momentum = momentum}), ConfigError);
  for (const double decay : {-0.1, inf, nan}) {
    CHECK_THROWS_AS(Sgd(setup.store, {.weight_decay = decay}), ConfigError);
    CHECK_THROWS_AS(Adam(setup.store, {.weight_decay = decay}), ConfigError);
  }
  CHECK_THROWS_WITH(Sgd(setup.store, {.nesterov = true}), Catch::Contains("nesterov"));
  for (const double fraction : {-0.1, 1.0, nan}) {
    CHECK_THROWS_AS(Rmsprop(setup.store, {.alpha = fraction}), ConfigError);
    CHECK_THROWS_AS(Rmsprop(setup.store, {.momentum = fraction}), ConfigError);
  }
  CHECK_THROWS_AS(Rmsprop(setup.store, {.epsilon = 0}), ConfigError);
  CHECK_THROWS_AS(Rmsprop(setup.store, {.weight_decay = -1}), ConfigError);
  for (const double beta : {-0.1, 1.0, nan}) {
    CHECK_THROWS_AS(Adam(setup.store, {.beta1 = beta}), ConfigError);
    CHECK_THROWS_AS(Adam(setup.store, {.beta2 = beta}), ConfigError);
  }
  for (const double epsilon : {0.0, -1.0, inf, nan})
    CHECK_THROWS_AS(Adam(setup.store, {.epsilon = epsilon}), ConfigError);
  // In f32 it would be 0, and a weight without gradient 0 / 0.
  CHECK_NOTHROW(Adam(setup.store, {.epsilon = 1e-60}));
  ParameterStore narrow(setup.context, DType::f32, {{"w", {4}}});
  CHECK_THROWS_WITH(Adam(narrow, {.epsilon = 1e-60}), Catch::Contains("epsilon") && Catch::Contains("1e-60"));
  CHECK_NOTHROW(Adam(narrow, {.epsilon = 1e-30}));
}
