#include "analysis/critical/matching.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/critical/model_loss.h"
#include "base/error.h"
#include "random/random_stream.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<double> random_numbers(std::int64_t count, std::uint64_t seed) {
  RandomStream random(seed, RandomPurpose::test);
  std::vector<double> numbers(static_cast<std::size_t>(count));
  for (double& value : numbers) value = random.normal();
  return numbers;
}

double sum_of(const std::vector<double>& gains, const std::vector<std::int64_t>& columns) {
  double sum = 0;
  for (std::size_t i = 0; i < columns.size(); ++i)
    sum += gains[i * columns.size() + static_cast<std::size_t>(columns[i])];
  return sum;
}

}  // namespace

TEST_CASE("matching: the best assignment is the best of all permutations") {
  for (std::int64_t n = 1; n <= 7; ++n) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      std::vector<double> gains = random_numbers(n * n, seed);
      if (seed == 5) std::fill(gains.begin(), gains.end(), 3.0);  // all the same
      std::vector<std::int64_t> order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      double best = -INFINITY;
      do best = std::max(best, sum_of(gains, order));
      while (std::next_permutation(order.begin(), order.end()));
      const std::vector<std::int64_t> found = best_assignment(gains, n);
      CAPTURE(n, seed);
      CHECK(sum_of(gains, found) == Approx(best));
      std::vector<std::int64_t> sorted = found;
      std::sort(sorted.begin(), sorted.end());
      for (std::size_t i = 0; i < sorted.size(); ++i) CHECK(sorted[i] == static_cast<std::int64_t>(i));
    }
  }
  CHECK_THROWS_AS(best_assignment(std::vector<double>(3), 2), ShapeError);
}

TEST_CASE("matching: a network with its units in another order and other signs is brought back") {
  const MlpShape shape{.widths = {3, 9, 5, 2}};
  const std::vector<UnitLayer> layers = unit_layers(shape);
  const std::vector<double> w = random_numbers(shape.parameters(), 3);
  Samples samples = make_samples(21, 3, 2);
  samples.x = random_numbers(static_cast<std::int64_t>(samples.x.size()), 4);
  Mlp network(shape, {}, samples);
  // Units of both layers reversed, and every third with the other sign.
  std::vector<double> other = w;
  for (std::size_t l = 0; l < 2; ++l) {
    const std::vector<double> before = other;
    const UnitLayer& layer = layers[l];
    for (std::int64_t i = 0; i < layer.units; ++i) {
      const std::int64_t j = layer.units - 1 - i;
      const double sign = i % 3 == 0 ? -1 : 1;
      const auto at = [](std::int64_t index) { return static_cast<std::size_t>(index); };
      for (std::int64_t k = 0; k < layer.inputs; ++k)
        other[at(layer.weights + i * layer.inputs + k)] =
            sign * before[at(layer.weights + j * layer.inputs + k)];
      other[at(layer.biases + i)] = sign * before[at(layer.biases + j)];
      for (std::int64_t row = 0; row < layer.rows; ++row)
        other[at(layer.next + row * layer.units + i)] = sign * before[at(layer.next + row * layer.units + j)];
    }
  }
  CHECK(network.loss(other) == Approx(network.loss(w)).epsilon(1e-13));
  const MatchedUnits matched = match_units(layers, w, other, true);
  CHECK(matched.weights == w);
  CHECK(matched.moved > 0);
  CHECK(matched.flipped > 0);
  // Without signs it cannot be brought back, but the function stays.
  const MatchedUnits unsigned_units = match_units(layers, w, other, false);
  CHECK(unsigned_units.weights != w);
  CHECK(unsigned_units.flipped == 0);
  CHECK(network.loss(unsigned_units.weights) == Approx(network.loss(w)).epsilon(1e-13));
  const MatchedUnits same = match_units(layers, w, w, true);
  CHECK(same.weights == w);
  CHECK(same.moved == 0);
}

TEST_CASE("matching: the CNN's channels and units in another order are the same function") {
  Context context = cpu(2);
  TrainConfig config;
  config.conv_channels = {5, 4};
  config.fc_width = 6;
  const Shape image{2, 9, 9};
  const Sequential model = make_model(describe_model(config, image, 3));
  ParameterStore store(context, DType::f64, model.parameters());
  const ToyData<double> data(context, 20, image, 3, 4);
  const auto loss = make_loss("mse", {});
  store.initialize(Initialization::kaiming_normal, 1);
  const std::vector<double> one = flat_weights(store);
  store.initialize(Initialization::kaiming_normal, 2);
  const std::vector<double> two = flat_weights(store);
  ModelLoss surface(context, model, store, data.resident, *loss);
  const std::vector<UnitLayer> layers = unit_layers(model.parameters());
  REQUIRE(layers.size() == 3);
  CHECK(layers[1].block == 4);  // pictures of 2 x 2
  const MatchedUnits matched = match_units(layers, one, two, false);
  CHECK(matched.moved > 0);
  CHECK(matched.weights != two);
  CHECK(surface.loss(matched.weights) == Approx(surface.loss(two)).epsilon(1e-12));
  // Back to the first one from itself in another order.
  CHECK(match_units(layers, one, match_units(layers, two, one, false).weights, false).weights == one);
}
