// The Jacobian of outputs, what follows from it, and the counts of units: docs/theory.md 7.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "algebra/dense.h"
#include "analysis/inspect/jacobian.h"
#include "analysis/inspect/stationarity.h"
#include "analysis/inspect/units.h"
#include "base/error.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "random/philox.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// A network over `samples` inputs, recorded unfused in f64.
struct Network64 {
  Network64(Sequential network, std::int64_t count, std::uint64_t seed = 3)
      : samples(count),
        model(std::move(network)),
        store(context, DType::f64, model.parameters()),
        tape(context, {.dtype = DType::f64, .gradients = false, .fuse = false}) {
    store.initialize(Initialization::pytorch, seed);
    input = tape.input("input", model.input_shape().with_batch(samples));
    output = model.record(tape, store, input);
    inputs.resize(static_cast<std::size_t>(tape.shape(input).count()));
    for (std::size_t i = 0; i < inputs.size(); ++i)
      inputs[i] = 2 * uniform(seed, static_cast<std::uint32_t>(i)) - 1;
  }
  std::vector<double> outputs() {
    std::copy(inputs.begin(), inputs.end(), tape.data_as<double>(input));
    tape.forward();
    return values<double>(tape, output);
  }
  JacobianRequest request() const { return {&model, &store, inputs, samples}; }
  void set(const std::string& name, const std::vector<double>& numbers) {
    store.write<double>(store.weights(), store.index_of(name), numbers);
  }
  std::vector<double> get(const std::string& name) const {
    return store.read<double>(store.weights(), store.index_of(name));
  }

  Context context = cpu(1);
  std::int64_t samples;
  Sequential model;
  ParameterStore store;
  Tape tape;
  Value input, output;
  std::vector<double> inputs;
};

std::vector<std::unique_ptr<Network64>> networks() {
  std::vector<std::unique_ptr<Network64>> all;
  all.push_back(std::make_unique<Network64>(
      make_simple_cnn({2, 9, 8}, 3, {.conv_channels = {3, 4}, .fc_width = 5}), 4));
  all.push_back(std::make_unique<Network64>(
      make_mlp({1, 3, 2}, 4, {.widths = {5, 3}, .activation = Activation::tanh}), 5));
  all.push_back(std::make_unique<Network64>(make_mlp({3, 1, 1}, 2, {.widths = {}}), 3));
  return all;
}

// XOR with the affine trap of docs/theory.md 7.4.
struct Trap : Network64 {
  Trap() : Network64(make_mlp({2, 1, 1}, 2, {.widths = {4}}), 4) {
    inputs = {0, 0, 0, 1, 1, 0, 1, 1};
    set("fc1.weight", {1, 0, -1, 0, 0, 1, 0, -1});
    set("fc1.bias", {0.5, 1.5, 0.5, 1.5});
    set("fc2.weight", {0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.5, -0.5});
    set("fc2.bias", {-1.5, 0.5});
  }
  std::vector<double> residual() {
    std::vector<double> r = {1, 0, 0, 1, 0, 1, 1, 0};
    const std::vector<double> f = outputs();
    for (std::size_t i = 0; i < r.size(); ++i) r[i] -= f[i];
    return r;
  }
};

}  // namespace

TEST_CASE("inspect: rows of the Jacobian are the outputs' central differences") {
  ThreadPool threads(2);
  for (const auto& network : networks()) {
    const std::vector<double> rows = jacobian_rows(network->request(), threads);
    const std::int64_t columns = network->store.parameter_count();
    const auto count = static_cast<std::int64_t>(network->outputs().size());
    REQUIRE(rows.size() == static_cast<std::size_t>(count * columns));
    constexpr double step = 1e-6;
    std::int64_t column = 0;
    for (std::size_t p = 0; p < network->store.size(); ++p) {
      const std::string& name = network->store.spec(p).name;
      std::vector<double> w = network->get(name);
      for (std::size_t k = 0; k < w.size(); ++k, ++column) {
        const double before = w[k];
        w[k] = before + step;
        network->set(name, w);
        const std::vector<double> above = network->outputs();
        w[k] = before - step;
        network->set(name, w);
        const std::vector<double> below = network->outputs();
        w[k] = before;
        network->set(name, w);
        for (std::int64_t row = 0; row < count; ++row) {
          CAPTURE(name, k, row);
          const auto at = static_cast<std::size_t>(row);
          const double difference = (above[at] - below[at]) / (2 * step);
          if (std::abs(rows[static_cast<std::size_t>(row * columns + column)] - difference) > 1e-6)
            FAIL_CHECK(rows[static_cast<std::size_t>(row * columns + column)] << " is not " << difference);
        }
      }
    }
    CHECK(column == columns);
  }
}

TEST_CASE(
    "inspect: the Gram matrix without the linear layers' rows is that of the rows, on any number of "
    "threads") {
  ThreadPool one(1), three(3);
  for (const auto& network : networks()) {
    const std::vector<double> rows = jacobian_rows(network->request(), one);
    const std::int64_t columns = network->store.parameter_count(),
                       count = static_cast<std::int64_t>(rows.size()) / columns;
    const std::vector<double> gram = jacobian_gram(network->request(), three);
    REQUIRE(gram.size() == static_cast<std::size_t>(count * count));
    CHECK(gram == jacobian_gram(network->request(), one));
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < count; ++j) {
        const double product = std::inner_product(
            rows.begin() + i * columns, rows.begin() + (i + 1) * columns, rows.begin() + j * columns, 0.0);
        CHECK(gram[static_cast<std::size_t>(i * count + j)] == Approx(product).epsilon(1e-12).margin(1e-12));
      }
    }
  }
}

TEST_CASE(
    "inspect: a Gram matrix larger than a block is the sums of products, with the same bits on any threads") {
  ThreadPool one(1), three(3);
  const std::int64_t rows = 150, columns = 37;
  std::vector<double> matrix(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] = uniform(8, static_cast<std::uint32_t>(i)) - 0.5;
  const std::vector<double> gram = gram_matrix(matrix, rows, columns, three);
  CHECK(gram == gram_matrix(matrix, rows, columns, one));
  for (std::int64_t i = 0; i < rows; i += 7) {
    for (std::int64_t j = 0; j < rows; ++j) {
      const double product =
          std::inner_product(matrix.begin() + i * columns, matrix.begin() + (i + 1) * columns,
                             matrix.begin() + j * columns, 0.0);
      CHECK(gram[static_cast<std::size_t>(i * rows + j)] == Approx(product).margin(1e-12));
      CHECK(gram[static_cast<std::size_t>(i * rows + j)] == gram[static_cast<std::size_t>(j * rows + i)]);
    }
  }
}

TEST_CASE("inspect: the affine trap of XOR has rank 6, no certificate, and all of r out of reach") {
  Trap trap;
  ThreadPool threads(2);
  const std::vector<double> r = trap.residual(), gram = jacobian_gram(trap.request(), threads);
  const Stationarity s = stationarity({.samples = 4, .outputs = 2, .residual = r, .gram = gram});
  CHECK(s.loss == 0.25);
  CHECK(s.gradient_norm < 1e-15);
  CHECK(s.rank == 6);
  CHECK(s.kernel_share == Approx(1).epsilon(1e-12));
  CHECK(s.certified_loss == std::numeric_limits<double>::infinity());
  CHECK(s.drift_norm < 1e-15);
  CHECK(s.noise_norm > 0.1);
  CHECK(s.curvature == Approx(6.522).epsilon(1e-4));
  CHECK(s.residual_sq == std::vector<double>(4, 0.5));
  // All weights are 1: where ||r_n||^2 = 1/2 and c = 2 a visit has the same limit with either loss.
  CHECK(s.visit_step == s.drift_visit_step);
  UnitCounter units(trap.tape, trap.store, true);
  units.add(4);
  REQUIRE(units.counts().size() == 1);
  CHECK(units.counts()[0].always_on == 4);
  CHECK(units.counts()[0].dead == 0);
  CHECK(is_affine_on_batch(trap.tape));
}

TEST_CASE("inspect: gradient, drift, noise and curvature are those of the rows of D") {
  ThreadPool threads(1);
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const auto& network : networks()) {
      const std::vector<double> rows = jacobian_rows(network->request(), threads),
                                gram = jacobian_gram(network->request(), threads);
      const std::int64_t columns = network->store.parameter_count(), n = network->samples;
      const auto count = static_cast<std::int64_t>(rows.size()) / columns, c = count / n;
      std::vector<double> r(static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < r.size(); ++i) r[i] = uniform(5, static_cast<std::uint32_t>(i)) - 0.4;
      const Stationarity s = stationarity({.samples = n,
                                           .outputs = c,
                                           .residual = r,
                                           .gram = gram,
                                           .distribution = distribution,
                                           .scale = 0.5,
                                           .batch = 2,
                                           .momentum = 0.5});
      const auto pulled = [&](std::int64_t sample, const std::vector<double>& u) {  // D_n^T u_n
        std::vector<double> g(static_cast<std::size_t>(columns));
        for (std::int64_t i = 0; i < c; ++i)
          for (std::int64_t k = 0; k < columns; ++k)
            g[static_cast<std::size_t>(k)] += u[static_cast<std::size_t>(i)] *
                                              rows[static_cast<std::size_t>((sample * c + i) * columns + k)];
        return g;
      };
      const auto square = [](const std::vector<double>& x) {
        return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
      };
      std::vector<double> mse(static_cast<std::size_t>(columns)), drift = mse;
      double noise = 0, spread = 0, limit = 0;
      for (std::int64_t sample = 0; sample < n; ++sample) {
        const std::vector<double> one(r.begin() + sample * c, r.begin() + (sample + 1) * c);
        const double weight = square(one) + 1 / static_cast<double>(c);
        const std::vector<double> g = pulled(sample, one);
        for (std::size_t k = 0; k < g.size(); ++k) {
          mse[k] += g[k] / static_cast<double>(n);
          drift[k] += weight * g[k] / static_cast<double>(n);
        }
        spread += square(g) / static_cast<double>(n);
        // The trace of D_n^T Cov D_n, with Cov written out.
        const double cd = static_cast<double>(c), rho = square(one);
        for (std::int64_t i = 0; i < c; ++i) {
          std::vector<double> column(static_cast<std::size_t>(c));
          for (std::int64_t j = 0; j < c; ++j) {
            const double ri = one[static_cast<std::size_t>(i)], rj = one[static_cast<std::size_t>(j)];
            const double same = i == j ? 1 : 0;
            column[static_cast<std::size_t>(j)] =
                (3 * rho / cd - 1 / (cd * cd)) * ri * rj + rho * rho / cd * same +
                (distribution == DirectionDistribution::sphere
                     ? (rho * same + 2 * ri * rj) / (cd * (cd + 2))
                     : (rho * same + 2 * ri * rj - 2 * same * ri * ri) / (cd * cd));
          }
          std::vector<double> unit(static_cast<std::size_t>(c));
          unit[static_cast<std::size_t>(i)] = 1;
          const std::vector<double> row = pulled(sample, unit), along = pulled(sample, column);
          noise += std::inner_product(row.begin(), row.end(), along.begin(), 0.0) / static_cast<double>(n);
        }
        limit = std::max(limit, s.kappa[static_cast<std::size_t>(sample)] * weight);
      }
      CHECK(s.gradient_norm == Approx(std::sqrt(square(mse))).epsilon(1e-10));
      CHECK(s.drift_norm == Approx(std::sqrt(square(drift))).epsilon(1e-10));
      CHECK(s.drift_cosine == Approx(std::inner_product(mse.begin(), mse.end(), drift.begin(), 0.0) /
                                     std::sqrt(square(mse) * square(drift))));
      CHECK(s.noise_norm == Approx(std::sqrt(noise / 2)).epsilon(1e-10));
      CHECK(s.sampling_norm == Approx(std::sqrt((spread - square(mse)) / 2)).epsilon(1e-8));
      // The drift's Jacobian by differences, in the direction of its largest eigenvalue: of D^T W D.
      std::vector<double> weighted(gram.size());
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t sample = i / c;
        const std::vector<double> one(r.begin() + sample * c, r.begin() + (sample + 1) * c);
        for (std::int64_t j = 0; j < count; ++j) {
          for (std::int64_t k = sample * c; k < (sample + 1) * c; ++k) {
            const double w = (i == k ? square(one) + 1 / static_cast<double>(c) : 0) +
                             2 * r[static_cast<std::size_t>(i)] * r[static_cast<std::size_t>(k)];
            weighted[static_cast<std::size_t>(i * count + j)] +=
                w * gram[static_cast<std::size_t>(k * count + j)];
          }
        }
      }
      // W D D^T has the eigenvalues of D^T W D: by power iteration.
      std::vector<double> x(static_cast<std::size_t>(count), 1.0);
      double largest = 0;
      for (int i = 0; i < 3000; ++i) {
        std::vector<double> y(x.size());
        for (std::size_t row = 0; row < x.size(); ++row)
          y[row] = std::inner_product(x.begin(), x.end(),
                                      weighted.begin() + static_cast<long>(row * x.size()), 0.0);
        largest = std::sqrt(square(y) / square(x));
        const double length = std::sqrt(square(y));
        for (double& value : y) value /= length;
        x = y;
      }
      CHECK(s.drift_curvature == Approx(largest / static_cast<double>(n)).epsilon(1e-4));
      CHECK(s.drift_step == Approx(2 * 1.5 / (0.5 * s.drift_curvature)));
      CHECK(s.drift_visit_step == Approx(2 * 2 * 0.5 / (0.5 * limit)));
      if (s.rank == count) CHECK(s.loss <= s.certified_loss * (1 + 1e-9));
    }
  }
}

TEST_CASE(
    "inspect: with an output bias one sample's gradient is at least the root of ||h||^2 + 1 times its "
    "residual") {
  ThreadPool threads(1);
  for (const auto& network : networks()) {
    network->outputs();
    const std::vector<double> gram = jacobian_gram(network->request(), threads);
    const std::int64_t n = network->samples, c = network->tape.shape(network->output)[1], rows = n * c;
    // The last layer's input is the last value that is no parameter before the output, which is it alone.
    Value hidden = network->input;
    for (int id = 0; id < network->output.id; ++id)
      if (!network->tape.is_leaf(Value{id})) hidden = Value{id};
    const std::int64_t width = network->tape.shape(hidden).without_batch().count();
    const std::vector<double> h = values<double>(network->tape, hidden);
    for (std::int64_t sample = 0; sample < n; ++sample) {
      std::vector<double> block;
      for (std::int64_t i = 0; i < c; ++i) {
        const auto from = gram.begin() + (sample * c + i) * rows + sample * c;
        block.insert(block.end(), from, from + c);
      }
      const auto at = h.begin() + sample * width;
      const double bound = std::inner_product(at, at + width, at, 1.0);
      CHECK(symmetric_eigen(block, c, false).values.front() >= bound * (1 - 1e-12));
    }
  }
}

TEST_CASE("inspect: dead, always active, copied and tied units are counted, of layers and of channels") {
  Network64 mlp(make_mlp({2, 1, 1}, 2, {.widths = {5}}), 6);
  mlp.inputs = {1, 0.5, -1, -0.5, 0.5, 1, -0.5, -1, 1, -1, -1, 1};  // each beside its negative
  std::vector<double> w = mlp.get("fc1.weight"), b = mlp.get("fc1.bias"), z = mlp.get("fc2.weight");
  b.assign(5, 0.0);                       // active on one of each pair
  b[0] = -9;                              // dead
  b[1] = 9;                               // always active
  w[6] = w[4], w[7] = w[5], b[3] = b[2];  // 3 is a copy of 2
  w[8] = w[4], w[9] = w[5], b[4] = b[2];  // and 4, with the outgoing weights of 3
  z[4] = z[3], z[9] = z[8];
  mlp.set("fc1.weight", w);
  mlp.set("fc1.bias", b);
  mlp.set("fc2.weight", z);
  mlp.outputs();
  UnitCounter counter(mlp.tape, mlp.store, true);
  counter.add(6);
  const LayerUnits units = counter.counts().at(0);
  CHECK(units.layer == "fc1");
  CHECK(units.units == 5);
  CHECK(units.dead == 1);
  CHECK(units.always_on == 1);
  CHECK(units.duplicate == 2);
  CHECK(units.tied == 1);

  Network64 cnn(make_simple_cnn({1, 6, 6}, 2, {.conv_channels = {3, 4}, .fc_width = 5}), 3);
  std::vector<double> bias = cnn.get("conv1.bias"), weight = cnn.get("conv1.weight"),
                      next = cnn.get("conv2.weight"), fc = cnn.get("fc1.weight");
  bias[0] = -50;
  std::copy(weight.begin() + 9, weight.begin() + 18, weight.begin() + 18);  // channel 2 is a copy of 1
  bias[2] = bias[1];
  for (std::size_t out = 0; out < 4; ++out)
    std::copy(next.begin() + static_cast<long>(out * 27 + 9), next.begin() + static_cast<long>(out * 27 + 18),
              next.begin() + static_cast<long>(out * 27 + 18));
  cnn.set("conv1.weight", weight);
  cnn.set("conv1.bias", bias);
  cnn.set("conv2.weight", next);
  cnn.outputs();
  UnitCounter channels(cnn.tape, cnn.store, true);
  channels.add(3);
  const std::vector<LayerUnits> counts = channels.counts();
  REQUIRE(counts.size() == 3);
  CHECK(counts[0].layer == "conv1");
  CHECK(counts[0].dead == 1);
  CHECK(counts[0].duplicate == 1);
  CHECK(counts[0].tied == 1);
  CHECK(counts[1].units == 4);
  CHECK(counts[2].layer == "fc1");
}

TEST_CASE("inspect: a network is affine on samples where no unit changes its side and no window its choice") {
  Network64 mlp(make_mlp({2, 1, 1}, 2, {.widths = {3}}), 4);
  mlp.set("fc1.bias", {9, -9, 9});
  mlp.outputs();
  CHECK(is_affine_on_batch(mlp.tape));
  mlp.set("fc1.bias", {9, -9, 0});
  mlp.set("fc1.weight", {0.1, 0, 0, 0.1, 1, 1});
  mlp.inputs = {1, 1, -1, -1, 1, 1, 1, 1};
  mlp.outputs();
  CHECK_FALSE(is_affine_on_batch(mlp.tape));

  Network64 cnn(make_simple_cnn({1, 4, 4}, 2, {.conv_channels = {1}, .fc_width = 2}), 2);
  std::vector<double> identity(9, 0.0);
  identity[4] = 1;
  cnn.set("conv1.weight", identity);
  cnn.set("conv1.bias", {10});
  cnn.set("fc1.bias", {90, 90});
  cnn.inputs.assign(32, 0.0);
  for (const std::size_t corner : {0u, 2u, 8u, 10u}) cnn.inputs[corner] = cnn.inputs[16 + corner] = 1;
  cnn.outputs();
  CHECK(is_affine_on_batch(cnn.tape));
  cnn.inputs[16 + 1] = 2;  // the second sample's first window chooses another place
  cnn.outputs();
  CHECK_FALSE(is_affine_on_batch(cnn.tape));
}

TEST_CASE("inspect: sizes that do not fit are refused") {
  ThreadPool threads(1);
  Trap trap;
  JacobianRequest request = trap.request();
  request.samples = 3;
  CHECK_THROWS_AS(jacobian_gram(request, threads), ShapeError);
  const std::vector<double> gram(16, 1.0), two(2, 1.0);
  CHECK_THROWS_AS(stationarity({.samples = 2, .outputs = 2, .residual = two, .gram = gram}), ShapeError);
  const std::vector<double> bad = {NAN, 0, 0, 0};
  CHECK_THROWS_AS(stationarity({.samples = 2, .outputs = 2, .residual = bad, .gram = gram}), NumericError);
}
