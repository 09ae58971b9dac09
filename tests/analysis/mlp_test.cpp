#include "analysis/mlp/mlp.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "analysis/mlp/descent.h"
#include "base/error.h"
#include "base/parse_choice.h"
#include "random/random_stream.h"
#include "random/shuffle.h"
#include "tests/support/catch.h"

using namespace qmse;

namespace {

struct Case {
  MlpShape shape;
  MlpObjective objective;
  Samples samples;
  std::vector<double> w;
};

// Ragged: 133 samples are a chunk and a rest that is no multiple of 4.
Case make_case(HiddenActivation activation, MlpLoss loss, std::vector<std::int64_t> widths,
               std::int64_t count, bool biases = true, bool factors = false) {
  Case c{.shape = {.widths = std::move(widths), .activation = activation, .leak = 0.1, .biases = biases},
         .objective = {.loss = loss, .weight_decay = 0.01, .slope_factors = {}},
         .samples = {},
         .w = {}};
  c.samples = make_samples(count, c.shape.inputs(), c.shape.outputs());
  RandomStream random(11, RandomPurpose::test);
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < c.shape.inputs(); ++k) c.samples.input(n, k) = random.normal();
    for (std::int64_t o = 0; o < c.shape.outputs(); ++o)
      c.samples.target(n, o) = loss == MlpLoss::bce ? random.uniform() : random.normal();
  }
  if (factors) {
    c.objective.slope_factors.resize(static_cast<std::size_t>(c.shape.hidden_units() * c.samples.stride));
    for (double& factor : c.objective.slope_factors) factor = 1 + 0.3 * random.normal();
  }
  for (std::int64_t i = 0; i < c.shape.parameters(); ++i) c.w.push_back(0.6 * random.normal());
  return c;
}

double activate(const MlpShape& shape, double u) {
  switch (shape.activation) {
    case HiddenActivation::identity:
      return u;
    case HiddenActivation::relu:
      return std::max(u, 0.0);
    case HiddenActivation::leaky_relu:
      return u > 0 ? u : shape.leak * u;
    case HiddenActivation::tanh:
      return std::tanh(u);
    default:
      return 1 / (1 + std::exp(-u));
  }
}

// The loss from its definition, sample by sample.
double reference_loss(const Case& c, const std::vector<double>& w, const std::vector<int>& samples,
                      const std::vector<float>& v = {}) {
  double sum = 0;
  for (std::size_t place = 0; place < samples.size(); ++place) {
    const int n = samples[place];
    std::vector<double> a;
    for (std::int64_t k = 0; k < c.shape.inputs(); ++k) a.push_back(c.samples.input(n, k));
    std::size_t at = 0;
    std::int64_t unit = 0;
    for (std::int64_t l = 1; l <= c.shape.layers(); ++l) {
      const auto out = static_cast<std::size_t>(c.shape.widths[static_cast<std::size_t>(l)]);
      std::vector<double> u(out, 0.0);
      for (double& value : u) {
        for (const double x : a) value += w[at++] * x;
      }
      for (double& value : u) value += c.shape.biases ? w[at++] : 0.0;
      if (l < c.shape.layers()) {
        for (double& value : u) {
          value = activate(c.shape, value);
          if (!c.objective.slope_factors.empty())
            value *= c.objective.slope_factors[static_cast<std::size_t>(unit * c.samples.stride + n)];
          ++unit;
        }
      }
      a = u;
    }
    double squares = 0, along = 0, bce = 0;
    for (std::size_t o = 0; o < a.size(); ++o) {
      const double y = c.samples.target(n, static_cast<std::int64_t>(o)), r = y - a[o];
      squares += r * r;
      if (!v.empty()) along += r * static_cast<double>(v[place * a.size() + o]);
      bce += std::log1p(std::exp(a[o])) - y * a[o];
    }
    const auto outputs = static_cast<double>(a.size());
    if (c.objective.loss == MlpLoss::mse) sum += squares / 2;
    if (c.objective.loss == MlpLoss::bce) sum += bce;
    if (c.objective.loss == MlpLoss::expected_qmse) sum += squares * squares / 4 + squares / outputs / 2;
    if (c.objective.loss == MlpLoss::qmse) sum += std::pow(squares + along, 2) / 2;
  }
  double decay = 0;
  for (const double value : w) decay += value * value;
  return sum / static_cast<double>(samples.size()) + c.objective.weight_decay / 2 * decay;
}

std::vector<int> all_samples(const Case& c) {
  std::vector<int> samples(static_cast<std::size_t>(c.samples.count));
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

double norm(const std::vector<double>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

double distance(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a);
}

const std::vector<HiddenActivation> kSmooth = {HiddenActivation::identity, HiddenActivation::tanh,
                                               HiddenActivation::sigmoid};
const std::vector<HiddenActivation> kAll = {HiddenActivation::identity, HiddenActivation::relu,
                                            HiddenActivation::leaky_relu, HiddenActivation::tanh,
                                            HiddenActivation::sigmoid};

}  // namespace

TEST_CASE(
    "mlp: loss and gradient are those of the definition, on all samples and on a batch with repetitions") {
  for (const HiddenActivation activation : kAll) {
    for (const MlpLoss loss : {MlpLoss::mse, MlpLoss::bce, MlpLoss::expected_qmse}) {
      for (const bool factors : {false, true}) {
        Case c = make_case(activation, loss, {3, 5, 6, 2}, 133, !factors, factors);
        CAPTURE(name(activation), name(loss), factors);
        Mlp network(c.shape, c.objective, c.samples);
        const std::vector<std::int32_t> batch = {5, 131, 5, 0, 77, 12, 90};
        for (const bool whole : {true, false}) {
          const std::vector<int> samples =
              whole ? all_samples(c) : std::vector<int>(batch.begin(), batch.end());
          const MlpBatch chosen{.samples = whole ? std::span<const std::int32_t>() : batch, .directions = {}};
          std::vector<double> gradient(network.parameters());
          const double value = network.gradient(c.w, gradient, chosen);
          CHECK(value == Approx(reference_loss(c, c.w, samples)).epsilon(1e-13));
          CHECK(network.loss(c.w, chosen) == value);
          double worst = 0;
          for (std::size_t i = 0; i < c.w.size(); i += 3) {
            std::vector<double> up = c.w, down = c.w;
            up[i] += 1e-6;
            down[i] -= 1e-6;
            const double slope = (reference_loss(c, up, samples) - reference_loss(c, down, samples)) / 2e-6;
            worst = std::max(worst, std::abs(slope - gradient[i]));
          }
          CHECK(worst < 2e-8 * (1 + norm(gradient)));  // rounding of the differences: 1e-16 * L / 1e-6
        }
      }
    }
  }
}

TEST_CASE("mlp: QMSE's value and its step -a D^T(r + v) with Q held constant") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::qmse, {3, 4, 3}, 9);
  c.objective.weight_decay = 0;
  Mlp network(c.shape, c.objective, c.samples);
  const std::vector<std::int32_t> batch = {2, 8, 2};
  std::vector<float> v(9);
  RandomStream random(5, RandomPurpose::test);
  for (float& value : v) value = static_cast<float>(random.normal());
  std::vector<double> gradient(network.parameters());
  const double value = network.gradient(c.w, gradient, {.samples = batch, .directions = v});
  CHECK(value == Approx(reference_loss(c, c.w, {2, 8, 2}, v)).epsilon(1e-13));
  const std::vector<double> jacobian = network.jacobian(c.w), f = network.outputs(c.w);
  std::vector<double> expected(network.parameters());
  for (std::size_t b = 0; b < batch.size(); ++b) {
    double a = 0;
    const auto residual = [&](int o) {
      return c.samples.target(batch[b], o) - f[static_cast<std::size_t>(o * c.samples.stride + batch[b])];
    };
    for (int o = 0; o < 3; ++o)
      a += residual(o) * (residual(o) + static_cast<double>(v[b * 3 + static_cast<std::size_t>(o)]));
    for (int o = 0; o < 3; ++o) {
      const double weight =
          -a * (residual(o) + static_cast<double>(v[b * 3 + static_cast<std::size_t>(o)])) / 3;
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] += weight * jacobian[static_cast<std::size_t>(batch[b] * 3 + o) * expected.size() + i];
    }
  }
  CHECK(distance(expected, gradient) < 1e-13 * norm(gradient));
  CHECK_THROWS_AS(network.gradient(c.w, gradient), ShapeError);
  std::vector<double> product(c.w.size());
  CHECK_THROWS_AS(network.curvature_products(c.w, 1, c.w, product), ConfigError);
}

TEST_CASE("mlp: Hessian-vector products agree with central differences of the gradient to 1e-8") {
  for (const HiddenActivation activation : kAll) {
    for (const MlpLoss loss : {MlpLoss::mse, MlpLoss::bce, MlpLoss::expected_qmse}) {
      Case c = make_case(activation, loss, {3, 5, 4, 2}, 133, true, activation == HiddenActivation::tanh);
      CAPTURE(name(activation), name(loss));
      Mlp network(c.shape, c.objective, c.samples);
      std::vector<double> v(2 * c.w.size()), product(v.size()), up(c.w.size()), down(c.w.size());
      RandomStream random(3, RandomPurpose::test);
      for (double& value : v) value = random.normal();
      network.curvature_products(c.w, 2, v, product);
      for (std::size_t which = 0; which < 2; ++which) {
        // Kinks would spoil the differences; piecewise linear activations take a step too small to cross one.
        const double step = is_piecewise_linear(activation) ? 1e-7 : 1e-5;
        std::vector<double> ahead = c.w, behind = c.w, expected(c.w.size());
        for (std::size_t i = 0; i < c.w.size(); ++i) {
          ahead[i] += step * v[which * c.w.size() + i];
          behind[i] -= step * v[which * c.w.size() + i];
        }
        network.gradient(ahead, up);
        network.gradient(behind, down);
        for (std::size_t i = 0; i < c.w.size(); ++i) expected[i] = (up[i] - down[i]) / (2 * step);
        const std::vector<double> row(
            product.begin() + static_cast<std::ptrdiff_t>(which * c.w.size()),
            product.begin() + static_cast<std::ptrdiff_t>((which + 1) * c.w.size()));
        CHECK(distance(row, expected) < (is_piecewise_linear(activation) ? 3e-8 : 1e-8) * norm(row));
      }
    }
  }
}

TEST_CASE(
    "mlp: the Gauss-Newton matrix is the Jacobian's, and the mean of sample gradients is the gradient") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {2, 4, 3}, 21);
  Mlp network(c.shape, c.objective, c.samples);
  const std::size_t size = c.w.size();
  const std::vector<double> jacobian = network.jacobian(c.w), rows = network.sample_gradients(c.w),
                            matrix = network.curvature_matrix(c.w, Mlp::Curvature::gauss_newton);
  double worst = 0;
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      double sum = i == j ? c.objective.weight_decay : 0.0;
      for (std::size_t row = 0; row < 63; ++row)
        sum += jacobian[row * size + i] * jacobian[row * size + j] / 21;
      worst = std::max(worst, std::abs(sum - matrix[i * size + j]));
    }
  }
  CHECK(worst < 1e-13);
  std::vector<double> gradient(size), mean(size);
  network.gradient(c.w, gradient);
  for (std::size_t i = 0; i < size; ++i) {
    mean[i] = c.objective.weight_decay * c.w[i];
    for (std::size_t n = 0; n < 21; ++n) mean[i] += rows[n * size + i] / 21;
  }
  CHECK(distance(mean, gradient) < 1e-14);
}

TEST_CASE("mlp: units of equal parameters get equal gradients, bit for bit, in every place of the layer") {
  for (const HiddenActivation activation : kAll) {
    Case c = make_case(activation, MlpLoss::mse, {3, 7, 2}, 101);
    // Units 1 and 6: one of a tile of four, the other of the rest.
    for (std::int64_t k = 0; k < 3; ++k)
      c.w[static_cast<std::size_t>(6 * 3 + k)] = c.w[static_cast<std::size_t>(3 + k)];
    c.w[static_cast<std::size_t>(c.shape.bias_offset(1) + 6)] =
        c.w[static_cast<std::size_t>(c.shape.bias_offset(1) + 1)];
    for (std::int64_t o = 0; o < 2; ++o) {
      const std::int64_t row = c.shape.weight_offset(2) + o * 7;
      c.w[static_cast<std::size_t>(row + 6)] = c.w[static_cast<std::size_t>(row + 1)];
    }
    Mlp network(c.shape, c.objective, c.samples);
    Descent descent(network, c.w, {.momentum = 0.9}, 1);
    for (int step = 0; step < 50; ++step) descent.step(0.01);
    for (std::int64_t k = 0; k < 3; ++k)
      CHECK(descent.weights()[static_cast<std::size_t>(18 + k)] ==
            descent.weights()[static_cast<std::size_t>(3 + k)]);
  }
}

TEST_CASE("mlp: what does not fit together is an error") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 5);
  CHECK_THROWS_AS(make_samples(0, 3, 1), ShapeError);
  CHECK_THROWS_AS(Mlp({.widths = {3, 0, 2}}, {}, c.samples), ShapeError);
  CHECK_THROWS_AS(Mlp({.widths = {2, 4, 2}}, {}, c.samples), ShapeError);
  CHECK_THROWS_AS(Mlp(c.shape, {.loss = MlpLoss::mse, .slope_factors = {1.0}}, c.samples), ShapeError);
  Mlp network(c.shape, {}, c.samples);
  CHECK_THROWS_AS(network.loss(std::vector<double>(3)), ShapeError);
  CHECK_THROWS_AS(parse_choice<HiddenActivation>("softmax", "activation"), ConfigError);
  CHECK_THROWS_AS(parse_choice<MlpLoss>("huber", "loss"), ConfigError);
}

TEST_CASE(
    "descent: a network that diverges stops with its last finite weights, one that has arrived stops too") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 10);
  Mlp network(c.shape, c.objective, c.samples);
  Descent wild(network, c.w, {}, 1);
  for (int step = 0; step < 3000 && !wild.done(); ++step) wild.step(1e3);
  CHECK(wild.done());
  CHECK_FALSE(wild.finite());
  for (const double value : wild.weights()) CHECK(std::isfinite(value));
  // One linear unit that fits its sample exactly.
  Samples one = make_samples(1, 1, 1);
  one.input(0, 0) = 1;
  one.target(0, 0) = 2;
  Mlp line({.widths = {1, 1}, .biases = false}, {}, one);
  Descent quick(line, {0.0}, {}, 1);
  quick.step(1.0);
  CHECK(quick.weights().front() == 2);
  quick.step(1.0);
  CHECK(quick.done());
  CHECK(quick.finite());
  CHECK(quick.steps() == 1);
}

TEST_CASE(
    "descent: QMSE's noise is its step less its expected step, beside MSE's, and isotropic noise has its "
    "trace") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 10);
  Mlp mse(c.shape, c.objective, c.samples);
  MlpObjective other = c.objective;
  other.loss = MlpLoss::qmse;
  Mlp qmse(c.shape, other, c.samples);
  other.loss = MlpLoss::expected_qmse;
  Mlp expected(c.shape, other, c.samples);
  std::vector<double> plain(mse.parameters()), drawn = plain, drift = plain;
  mse.gradient(c.w, plain);
  expected.gradient(c.w, drift);
  std::vector<std::int32_t> all;
  for (std::int64_t n = 0; n < c.samples.count; ++n) all.push_back(static_cast<std::int32_t>(n));
  std::vector<float> v(all.size() * 2);
  double of_qmse = 0, isotropic = 0;
  constexpr std::uint64_t kSeeds = 4000;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (std::size_t n = 0; n < all.size(); ++n)
      draw_direction(DirectionDistribution::sphere, seed, 0, static_cast<std::uint32_t>(n), 2,
                     v.data() + 2 * n);
    qmse.gradient(c.w, drawn, {.samples = all, .directions = v});
    Descent noisy(mse, c.w, {.qmse_noise = QmseNoise::itself}, seed);
    noisy.step(0.1);
    std::vector<double> wanted = plain;
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] += drawn[i] - drift[i];
    if (distance(noisy.gradient(), wanted) > 1e-14) FAIL_CHECK("another noise with seed " << seed);
    of_qmse += std::pow(distance(noisy.gradient(), plain), 2) / kSeeds;
    Descent round(mse, c.w, {.qmse_noise = QmseNoise::isotropic}, seed);
    round.step(0.1);
    isotropic += std::pow(distance(round.gradient(), plain), 2) / kSeeds;
  }
  CHECK(isotropic == Approx(of_qmse).epsilon(0.06));
  CHECK_THROWS_AS(Descent(mse, c.w, {.batch = 2, .qmse_noise = QmseNoise::itself}, 1), ShapeError);
}

TEST_CASE("descent: by epochs every sample comes once an epoch, in the orders of random/shuffle.h") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 7);
  Mlp network(c.shape, c.objective, c.samples);
  constexpr std::uint64_t kSeed = 11;
  constexpr std::size_t kEpochs = 5;
  std::vector<std::int32_t> row;
  for (std::uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    std::vector<std::uint32_t> order(7);
    shuffled_order(kSeed, epoch, 7, order.data());
    row.insert(row.end(), order.begin(), order.end());
  }
  for (const std::size_t batch : {std::size_t{1}, std::size_t{3}, std::size_t{7}, std::size_t{10}}) {
    CAPTURE(batch);
    Descent descent(network, c.w, {.batch = static_cast<std::int64_t>(batch), .order = BatchOrder::epochs},
                    kSeed);
    std::vector<double> w = c.w, g(w.size());
    for (std::size_t at = 0; at + batch <= row.size(); at += batch) {
      network.gradient(w, g, {.samples = std::span(row).subspan(at, batch)});
      for (std::size_t i = 0; i < w.size(); ++i) w[i] -= 0.1 * g[i];
      descent.step(0.1);
    }
    CHECK(descent.weights() == w);
  }
}

TEST_CASE("descent: Adam's steps are those of its formula") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 10);
  Mlp network(c.shape, c.objective, c.samples);
  Descent adam(network, c.w, {.adam = true}, 1);
  std::vector<double> w = c.w, m(w.size()), s(w.size()), g(w.size());
  for (int t = 1; t <= 5; ++t) {
    network.gradient(w, g);
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] += 0.1 * (g[i] - m[i]);
      s[i] += 0.001 * (g[i] * g[i] - s[i]);
      w[i] -= 0.01 * (m[i] / (1 - std::pow(0.9, t))) / (std::sqrt(s[i] / (1 - std::pow(0.999, t))) + 1e-8);
    }
    adam.step(0.01);
  }
  CHECK(distance(adam.weights(), w) < 1e-12);
}

TEST_CASE("descent: noise on the sphere has its length, and is added to the gradient") {
  Case c = make_case(HiddenActivation::tanh, MlpLoss::mse, {3, 4, 2}, 10);
  Mlp network(c.shape, c.objective, c.samples);
  std::vector<double> plain(network.parameters());
  network.gradient(c.w, plain);
  Descent noisy(network, c.w, {.noise = StepNoise::sphere, .noise_scale = 0.25}, 1);
  noisy.step(0.1);
  CHECK(distance(noisy.gradient(), plain) == Approx(0.25).epsilon(1e-12));
  std::vector<double> moved = noisy.weights();
  for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += 0.1 * noisy.gradient()[i];
  CHECK(distance(moved, c.w) < 1e-14);
}
