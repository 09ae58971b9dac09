// docs/theory.md section 7: where MSE stops, and what QMSE does there. Networks small enough for hand,
// in f64.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "engine/training_loop.h"
#include "losses/losses.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "optim/optimizers.h"
#include "random/direction.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Matrix = std::vector<std::vector<double>>;

// Points with whole, non-negative coordinates, which are their own inputs.
struct Points {
  Matrix x;
  std::vector<std::int32_t> labels;
  std::int64_t classes;
};
const Points kXor{{{0, 0}, {0, 1}, {1, 0}, {1, 1}}, {0, 1, 1, 0}, 2};

struct Problem {
  Problem(const Points& p, const MlpOptions& options)
      : points(p),
        samples(static_cast<std::int64_t>(p.x.size())),
        inputs(static_cast<std::int64_t>(p.x[0].size())),
        images(context, DType::u8, {samples, inputs, 1, 1}, "points"),
        labels(context, DType::i32, {samples}, "labels"),
        scale(context, DType::f64, {inputs}, "scale"),
        shift(context, DType::f64, {inputs}, "shift"),
        model(make_mlp({inputs, 1, 1}, p.classes, options)),
        store(context, DType::f64, model.parameters()) {
    std::vector<std::uint8_t> pixels;
    for (const std::vector<double>& point : p.x)
      for (const double value : point) pixels.push_back(static_cast<std::uint8_t>(value));
    images.write<std::uint8_t>(pixels);
    labels.write<std::int32_t>(p.labels);
    scale.write<double>(std::vector<double>(static_cast<std::size_t>(inputs), 1.0));
    shift.write<double>(std::vector<double>(static_cast<std::size_t>(inputs), 0.0));
    data = {samples,
            {inputs, 1, 1},
            p.classes,
            images.as<std::uint8_t>(),
            labels.as<std::int32_t>(),
            scale.as<double>(),
            shift.as<double>()};
    store.initialize(Initialization::pytorch, 5);
  }

  void set(const std::string& name, const std::vector<double>& values) {
    store.write<double>(store.weights(), store.index_of(name), values);
  }
  std::vector<double> get(const std::string& name) const {
    return store.read<double>(store.weights(), store.index_of(name));
  }
  std::vector<double> weights() const { return flat(store.weights()); }

  // The gradient of a loss over all points; `mean` gets the loss.
  std::vector<double> gradient(const std::string& loss_name, double* mean = nullptr) {
    const std::unique_ptr<Loss> loss = make_loss(loss_name, {});
    BatchPass<double> pass(context, network_of(model, store), data, *loss, samples, {});
    std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
    std::iota(order.begin(), order.end(), 0u);
    const std::uint64_t first = 0, step = 0;
    pass.train(order.data(), &first, &step);
    if (mean != nullptr) {
      *mean = std::accumulate(pass.sample_loss(), pass.sample_loss() + samples, 0.0) /
              static_cast<double>(samples);
    }
    return flat(store.gradients());
  }

  // Full-batch steps; the mean of 1/2 ||r||^2 over the last epoch that was at or below `enough`, or the last.
  double train(const std::string& loss_name, const std::string& optimizer, double rate, std::int64_t steps,
               DirectionDistribution distribution = DirectionDistribution::sphere, double enough = -1) {
    const std::unique_ptr<Loss> loss =
        make_loss(loss_name, {.qmse = {.distribution = distribution, .seed = 7}});
    Sgd sgd(store, {.momentum = optimizer == "momentum" ? 0.9 : 0.0});
    Adam adam(store, {});
    Optimizer& rule = optimizer == "adam" ? static_cast<Optimizer&>(adam) : sgd;
    TrainingLoop<double> loop(context, network_of(model, store), data, *loss, rule, samples);
    std::vector<std::uint32_t> order(static_cast<std::size_t>(samples));
    std::iota(order.begin(), order.end(), 0u);
    double mse = 0;
    for (std::int64_t step = 0; step < steps; ++step) {
      loop.begin_epoch(order, std::array{rate}, static_cast<std::uint64_t>(step));
      loop.step();
      mse = loop.metrics().residual_sq / 2 / static_cast<double>(samples);
      if (mse <= enough) break;
    }
    return mse;
  }

  Points points;
  Context context = cpu(1);
  std::int64_t samples, inputs;
  Tensor images, labels, scale, shift;
  Sequential model;
  ParameterStore store;
  ResidentData<double> data;

 private:
  std::vector<double> flat(const void* from) const {
    const auto* values = static_cast<const double*>(from);
    return {values, values + store.flat_size()};
  }
};

double squared_norm(const std::vector<double>& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

// The Jacobian of all outputs, one row for sample n and output i, of a network with one hidden layer of
// ReLUs, from the definition. `hidden` gets the rows (h_n, 1).
Matrix jacobian(const Problem& p, std::int64_t width, Matrix* hidden) {
  const std::vector<double> w = p.get("fc1.weight"), b = p.get("fc1.bias"), z = p.get("fc2.weight");
  const auto h = static_cast<std::size_t>(width), d = static_cast<std::size_t>(p.inputs),
             c = static_cast<std::size_t>(p.points.classes);
  Matrix rows;
  for (const std::vector<double>& x : p.points.x) {
    std::vector<double> activation(h + 1, 1.0);
    for (std::size_t k = 0; k < h; ++k) {
      activation[k] =
          std::max(0.0, std::inner_product(x.begin(), x.end(), w.begin() + static_cast<long>(k * d), b[k]));
    }
    hidden->push_back(activation);
    for (std::size_t i = 0; i < c; ++i) {
      std::vector<double> row(h * (d + 1) + c * (h + 1), 0.0);
      for (std::size_t k = 0; k < h; ++k) {
        if (activation[k] <= 0) continue;
        for (std::size_t j = 0; j < d; ++j) row[k * (d + 1) + j] = z[i * h + k] * x[j];
        row[k * (d + 1) + d] = z[i * h + k];
      }
      for (std::size_t k = 0; k <= h; ++k) row[h * (d + 1) + i * (h + 1) + k] = activation[k];
      rows.push_back(row);
    }
  }
  return rows;
}

// All eigenvalues of the Gram matrix of the rows, by Jacobi's rotations, in ascending order.
std::vector<double> gram_eigenvalues(const Matrix& rows) {
  const std::size_t n = rows.size();
  Matrix a(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      a[i][j] = std::inner_product(rows[i].begin(), rows[i].end(), rows[j].begin(), 0.0);
  for (int sweep = 0; sweep < 60; ++sweep)
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) {
        const double angle = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]);
        const double cosine = std::cos(angle), sine = std::sin(angle);
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = cosine * kp - sine * kq;
          a[k][q] = sine * kp + cosine * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = cosine * pk - sine * qk;
          a[q][k] = sine * pk + cosine * qk;
        }
      }
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i) values.push_back(a[i][i]);
  std::sort(values.begin(), values.end());
  return values;
}

struct AffineTrap : Problem {
  AffineTrap() : Problem(kXor, {.widths = {4}}) {
    const double m = 0.5, s = 0.5;
    set("fc1.weight", {1, 0, -1, 0, 0, 1, 0, -1});
    set("fc1.bias", {m, 1 + m, m, 1 + m});
    set("fc2.weight", {s, s, s, s, s, s, -s, -s});
    set("fc2.bias", {0.5 - s * (4 * m + 2), 0.5});
  }
};

const std::vector<std::pair<std::string, DirectionDistribution>> kSteps = {
    {"mse", DirectionDistribution::sphere},
    {"qmse", DirectionDistribution::sphere},
    {"qmse", DirectionDistribution::rademacher},
    {"qmse_expected", DirectionDistribution::sphere},
    {"cross_entropy", DirectionDistribution::sphere}};

}  // namespace

// 7.1
TEST_CASE("stationary points: MSE and the expected step of QMSE share no minimum but zero") {
  // Labels (0, 0, 1), inputs 0: the outputs are the bias. On f = (1 - t, t) the two sums have one root each.
  const auto expected = [](double t) {
    return 2 * (2 * t * t + 0.5) * t - (2 * (1 - t) * (1 - t) + 0.5) * (1 - t);
  };
  double low = 0, high = 1;
  for (int i = 0; i < 100; ++i) (expected((low + high) / 2) > 0 ? high : low) = (low + high) / 2;
  CHECK(low == Approx(0.4136).margin(5e-5));
  Problem p({{{0}, {0}, {0}}, {0, 0, 1}, 2}, {.widths = {}});
  const auto gradient_at = [&](double t, const char* loss) {
    p.set("fc1.bias", {1 - t, t});
    return std::sqrt(squared_norm(p.gradient(loss)));
  };
  CHECK(gradient_at(1.0 / 3, "mse") < 1e-15);
  CHECK(gradient_at(1.0 / 3, "qmse_expected") > 0.1);
  CHECK(gradient_at(low, "qmse_expected") < 1e-15);
  CHECK(gradient_at(low, "mse") > 0.1);
}

TEST_CASE(
    "stationary points: over a batch QMSE's gradient has every sample's own a, and not the paper's form") {
  // At MSE's minimum: D_n is I for the bias and 0 for the weights, whose inputs are 0.
  Problem p({{{0}, {0}, {0}}, {0, 0, 1}, 2}, {.widths = {}});
  p.set("fc1.bias", {2.0 / 3, 1.0 / 3});
  const std::array<std::array<double, 2>, 3> r{
      {{1.0 / 3, -1.0 / 3}, {1.0 / 3, -1.0 / 3}, {-2.0 / 3, 2.0 / 3}}};
  std::array<double, 2> general{}, paper{};
  for (std::uint32_t n = 0; n < 3; ++n) {
    std::array<float, 2> v{};
    draw_direction(DirectionDistribution::sphere, 0, 0, n, 2, v.data());
    double a = 0;
    for (std::size_t i = 0; i < 2; ++i) a += r[n][i] * (r[n][i] + static_cast<double>(v[i]));
    for (std::size_t i = 0; i < 2; ++i) {
      general[i] -= a * (r[n][i] + static_cast<double>(v[i])) / 3;
      paper[i] -= a * static_cast<double>(v[i]) / 3;
    }
  }
  CHECK(std::sqrt(squared_norm(p.gradient("mse"))) < 1e-15);
  p.gradient("qmse");
  const std::vector<double> bias = p.store.read<double>(p.store.gradients(), p.store.index_of("fc1.bias"));
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(bias[i] == Approx(general[i]).epsilon(1e-12));
    CHECK(std::abs(bias[i] - paper[i]) > 0.01);
  }
}

// 7.2
TEST_CASE(
    "stationary points: an output's bias has the gradient of the residuals' sum, with convolutions too") {
  Context context = cpu(2);
  const ToyData<double> data(context, 12, {2, 12, 12}, 4, 3);
  const Sequential cnn = make_simple_cnn({2, 12, 12}, 4, {.conv_channels = {5, 6}, .fc_width = 8});
  ParameterStore store(context, DType::f64, cnn.parameters());
  store.initialize(Initialization::pytorch, 3);
  const std::unique_ptr<Loss> mse = make_loss("mse", {});
  BatchPass<double> pass(context, network_of(cnn, store), data.resident, *mse, 12, {});
  std::vector<std::uint32_t> order(12);
  std::iota(order.begin(), order.end(), 0u);
  const std::uint64_t first = 0, step = 0;
  pass.train(order.data(), &first, &step);
  const std::vector<double> outputs = values<double>(pass.tape(), pass.output()),
                            bias = store.read<double>(store.gradients(), store.index_of("fc2.bias"));
  for (std::size_t i = 0; i < 4; ++i) {
    double sum = 0;
    for (std::size_t n = 0; n < 12; ++n)
      sum += (pass.labels()[n] == static_cast<std::int32_t>(i) ? 1.0 : 0.0) - outputs[4 * n + i];
    CHECK(bias[i] == Approx(-sum / 12).epsilon(1e-12));
  }
}

TEST_CASE(
    "stationary points: the gradient is bounded below by the loss and the Jacobian's smallest eigenvalue") {
  int certified = 0;
  for (const std::int64_t width : {1, 2, 3, 6}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(width, seed);
      Problem p({{{0, 1}, {3, 1}, {1, 2}, {2, 5}}, {0, 1, 1, 0}, 2}, {.widths = {width}});
      p.store.initialize(Initialization::kaiming_normal, seed);
      Matrix hidden;
      const Matrix d = jacobian(p, width, &hidden);
      const double smallest = gram_eigenvalues(d)[0], last_layer = gram_eigenvalues(hidden)[0];
      CHECK(smallest >= last_layer - 1e-12);
      double loss = 0;
      const double square = squared_norm(p.gradient("mse", &loss));
      CHECK(square >= 2 * smallest / 4 * loss - 1e-12);
      // With an output bias and one sample there is always something to move (||h||^2 + 1 >= 1).
      CHECK(gram_eigenvalues({d[0], d[1]})[0] >= squared_norm(hidden[0]) - 1e-12);
      if (smallest > 1e-6) ++certified;
    }
  }
  CHECK(certified > 10);  // it says something at all
}

TEST_CASE("stationary points: v can cancel over two samples with equal gradients where it takes few values") {
  // D of two such samples is (I, I): D^T v = v_1 + v_2.
  const auto share_of_zeros = [](DirectionDistribution distribution, std::int64_t c) {
    int zeros = 0;
    for (std::uint32_t step = 0; step < 10000; ++step) {
      std::array<float, 2> first{}, second{};
      draw_direction(distribution, 3, step, 0, c, first.data());
      draw_direction(distribution, 3, step, 1, c, second.data());
      zeros += first[0] + second[0] == 0 && first[1] + second[1] == 0;
    }
    return zeros / 10000.0;
  };
  CHECK(share_of_zeros(DirectionDistribution::sphere, 1) ==
        Approx(0.5).margin(0.025));  // five standard deviations
  CHECK(share_of_zeros(DirectionDistribution::rademacher, 1) == Approx(0.5).margin(0.025));
  CHECK(share_of_zeros(DirectionDistribution::rademacher, 2) == Approx(0.25).margin(0.022));
  CHECK(share_of_zeros(DirectionDistribution::sphere, 2) == 0);
}

// 7.3
TEST_CASE("stationary points: no step revives a dead unit") {
  for (const auto& [loss, distribution] : kSteps) {
    for (const char* optimizer : {"sgd", "momentum", "adam"}) {
      CAPTURE(loss, optimizer);
      Problem p(kXor, {.widths = {5}});
      std::vector<double> w = p.get("fc1.weight"), b = p.get("fc1.bias");
      b[3] = -4;  // |w| < 1 and inputs of 0 and 1: never active
      p.set("fc1.bias", b);
      p.train(loss, optimizer, 0.02, 300, distribution);
      const std::vector<double> after = p.get("fc1.weight");
      CHECK(after[6] == w[6]);
      CHECK(after[7] == w[7]);
      CHECK(p.get("fc1.bias")[3] == -4);
      CHECK(after != w);
    }
  }
}

TEST_CASE("stationary points: no step revives a dead channel of the convolutional network") {
  Context context = cpu(2);
  const ToyData<float> data(context, 12, {2, 12, 12}, 4, 3);
  const Sequential model = make_simple_cnn({2, 12, 12}, 4, {.conv_channels = {5, 6}, .fc_width = 8});
  for (const auto& [loss_name, distribution] : kSteps) {
    CAPTURE(loss_name);
    ParameterStore store(context, DType::f32, model.parameters());
    store.initialize(Initialization::pytorch, 3);
    const std::size_t weight = store.index_of("conv1.weight"), bias = store.index_of("conv1.bias");
    std::vector<float> b = store.read<float>(store.weights(), bias);
    b[2] = -100;
    store.write<float>(store.weights(), bias, b);
    const std::vector<float> w = store.read<float>(store.weights(), weight);
    const std::unique_ptr<Loss> loss = make_loss(loss_name, {.qmse = {.distribution = distribution}});
    Sgd sgd(store, {.momentum = 0.9});
    TrainingLoop<float> loop(context, network_of(model, store), data.resident, *loss, sgd, 4);
    std::vector<std::uint32_t> order(12);
    std::iota(order.begin(), order.end(), 0u);
    loop.begin_epoch(order, std::vector<double>(3, 0.01), 0);
    loop.step(3);
    const std::vector<float> after = store.read<float>(store.weights(), weight);
    const std::size_t size = 2 * 9;
    CHECK(std::equal(after.begin() + 2 * size, after.begin() + 3 * size, w.begin() + 2 * size));
    CHECK(store.read<float>(store.weights(), bias)[2] == -100);
    CHECK(after != w);
  }
}

TEST_CASE("stationary points: no step parts two equal channels of the convolutional network") {
  Context context = cpu(2);
  const ToyData<float> data(context, 12, {2, 12, 12}, 4, 3);
  const Sequential model = make_simple_cnn({2, 12, 12}, 4, {.conv_channels = {5, 6}, .fc_width = 8});
  for (const auto& [loss_name, distribution] : kSteps) {
    CAPTURE(loss_name);
    ParameterStore store(context, DType::f32, model.parameters());
    store.initialize(Initialization::pytorch, 3);
    // Channels 1 and 3 of the first convolution, in and out.
    const auto tie = [&](const char* name, std::size_t rows, std::size_t size, std::size_t stride) {
      const std::size_t parameter = store.index_of(name);
      std::vector<float> values = store.read<float>(store.weights(), parameter);
      for (std::size_t row = 0; row < rows; ++row) {
        const auto from = values.begin() + static_cast<long>(row * stride + size);
        std::copy(from, from + static_cast<long>(size), from + static_cast<long>(2 * size));
      }
      store.write<float>(store.weights(), parameter, values);
      return values;
    };
    const auto tied = [&](const char* name, std::size_t rows, std::size_t size, std::size_t stride) {
      const std::vector<float> values = store.read<float>(store.weights(), store.index_of(name));
      bool equal = true;
      for (std::size_t row = 0; row < rows; ++row) {
        const auto from = values.begin() + static_cast<long>(row * stride + size);
        equal = equal && std::equal(from, from + static_cast<long>(size), from + static_cast<long>(2 * size));
      }
      return equal;
    };
    const std::vector<float> before = tie("conv1.weight", 1, 18, 90);
    tie("conv1.bias", 1, 1, 5);
    tie("conv2.weight", 6, 9, 45);
    const std::unique_ptr<Loss> loss = make_loss(loss_name, {.qmse = {.distribution = distribution}});
    Sgd sgd(store, {.momentum = 0.9});
    TrainingLoop<float> loop(context, network_of(model, store), data.resident, *loss, sgd, 4);
    std::vector<std::uint32_t> order(12);
    std::iota(order.begin(), order.end(), 0u);
    loop.begin_epoch(order, std::vector<double>(3, 0.01), 0);
    loop.step(3);
    CHECK(store.read<float>(store.weights(), store.index_of("conv1.weight")) != before);
    CHECK(tied("conv1.weight", 1, 18, 90));
    CHECK(tied("conv1.bias", 1, 1, 5));
    CHECK(tied("conv2.weight", 6, 9, 45));
  }
}

TEST_CASE("stationary points: no step parts two equal units") {
  for (const auto& [loss, distribution] : kSteps) {
    for (const char* optimizer : {"sgd", "momentum", "adam"}) {
      CAPTURE(loss, optimizer);
      Problem p(kXor, {.widths = {3}, .activation = Activation::tanh});
      std::vector<double> w = p.get("fc1.weight"), b = p.get("fc1.bias"), z = p.get("fc2.weight");
      w[4] = w[2], w[5] = w[3], b[2] = b[1], z[2] = z[1], z[5] = z[4];  // units 1 and 2
      p.set("fc1.weight", w);
      p.set("fc1.bias", b);
      p.set("fc2.weight", z);
      p.train(loss, optimizer, 0.05, 1000, distribution);
      const std::vector<double> after = p.get("fc1.weight"), out = p.get("fc2.weight");
      CHECK(after[2] != w[2]);
      CHECK(after[2] == after[4]);
      CHECK(after[3] == after[5]);
      CHECK(p.get("fc1.bias")[1] == p.get("fc1.bias")[2]);
      CHECK(out[1] == out[2]);
      CHECK(out[4] == out[5]);
    }
  }
}

// 7.4
TEST_CASE("stationary points: the affine trap of XOR holds all but the noise of QMSE, bit for bit") {
  AffineTrap trap;
  double loss = 0;
  for (const double g : trap.gradient("mse", &loss)) REQUIRE(g == 0.0);
  CHECK(loss == 0.25);
  for (const char* other : {"qmse_expected", "cross_entropy"})
    for (const double g : trap.gradient(other)) REQUIRE(g == 0.0);
  Matrix hidden;
  const std::vector<double> eigenvalues = gram_eigenvalues(jacobian(trap, 4, &hidden));
  CHECK(eigenvalues[1] < 1e-12);  // rank 6 of 8
  CHECK(eigenvalues[2] > 1e-3);

  for (const auto& [name, optimizer] :
       {std::pair{"mse", "sgd"}, {"mse", "momentum"}, {"qmse_expected", "sgd"}}) {
    CAPTURE(name, optimizer);
    AffineTrap p;
    const std::vector<double> before = p.weights();
    p.train(name, optimizer, 0.05, 2000);
    CHECK(p.weights() == before);
  }
  CHECK(AffineTrap().train("qmse", "sgd", 0.05, 20000, DirectionDistribution::sphere, 0.05) <= 0.05);
}

// 7.5
TEST_CASE("stationary points: the covariance of QMSE's step is the closed form") {
  constexpr std::int64_t c = 3;
  constexpr std::uint32_t draws = 200000;
  const std::array<double, c> r{0.7, -0.2, 0.4};
  const double square = 0.49 + 0.04 + 0.16, n = c;
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    CAPTURE(static_cast<int>(distribution));
    std::array<double, c> sum{};
    std::array<std::array<double, c>, c> products{}, squares{};
    const double weight = square + 1 / n;
    for (std::uint32_t draw = 0; draw < draws; ++draw) {
      std::array<float, c> v{};
      draw_direction(distribution, 11, draw, 0, c, v.data());
      double a = square;
      for (std::size_t i = 0; i < c; ++i) a += static_cast<double>(v[i]) * r[i];
      std::array<double, c> noise{};  // Qr without its mean, which section 3 has
      for (std::size_t i = 0; i < c; ++i) {
        noise[i] = a * (r[i] + static_cast<double>(v[i])) - weight * r[i];
        sum[i] += noise[i];
      }
      for (std::size_t i = 0; i < c; ++i)
        for (std::size_t j = 0; j < c; ++j) {
          products[i][j] += noise[i] * noise[j];
          squares[i][j] += noise[i] * noise[j] * noise[i] * noise[j];
        }
    }
    for (std::size_t i = 0; i < c; ++i)
      for (std::size_t j = 0; j < c; ++j) {
        CAPTURE(i, j);
        const double same = i == j ? 1 : 0;
        const double fourth =  // E[s^2 v v^T]
            distribution == DirectionDistribution::sphere
                ? (square * same + 2 * r[i] * r[j]) / (n * (n + 2))
                : (square * same + 2 * r[i] * r[j] - 2 * same * r[i] * r[i]) / (n * n);
        const double closed =
            (3 * square / n - 1 / (n * n)) * r[i] * r[j] + square * square / n * same + fourth;
        const double mean = products[i][j] / draws,
                     error = std::sqrt((squares[i][j] / draws - mean * mean) / draws);
        CHECK(std::abs(mean - closed) < 5 * error);
      }
  }
}

// 7.6
TEST_CASE("stationary points: one sample's expected QMSE step contracts below 2/(step kappa) - 1/c alone") {
  const double kappa = 4 + 1 + 1, rate = 0.25;  // inputs (2, 1) and the bias
  for (const double rho : {0.2, 0.9, 1.1, 3.0}) {
    CAPTURE(rho);
    const auto residual_after = [&](const char* loss) {
      Problem p({{{2, 1}}, {0}, 2}, {.widths = {}});
      p.set("fc1.weight", {0, 0, 0, 0});
      p.set("fc1.bias", {1 - 0.6 * rho, -0.8 * rho});
      p.train(loss, "sgd", rate, 1);
      double half = 0;
      p.gradient("mse", &half);
      return std::sqrt(2 * half);
    };
    const double factor = std::abs(1 - rate * kappa * (rho * rho + 0.5));
    CHECK(residual_after("qmse_expected") == Approx(factor * rho).epsilon(1e-12));
    CHECK((factor < 1) == (rho * rho < 2 / (rate * kappa) - 0.5));
    CHECK(residual_after("mse") == Approx(std::abs(1 - rate * kappa) * rho).epsilon(1e-12));
  }
}
