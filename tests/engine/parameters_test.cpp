#include "engine/parameters.h"

#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "tests/support/catch.h"
#include "tests/support/cpu.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<ParameterSpec> specs() {
  return {{"conv.weight", {5, 3, 3, 3}, 27, 45, false},
          {"conv.bias", {5}, 27, 45, true},
          {"fc.weight", {40, 7}, 7, 40, false}};
}

}  // namespace

TEST_CASE("parameters: views into one flat buffer, aligned, padding zero") {
  Context context = cpu();
  ParameterStore store(context, DType::f32, specs());
  store.initialize(Initialization::pytorch, 1);
  CHECK(store.parameter_count() == 135 + 5 + 280);
  std::vector<char> used(static_cast<std::size_t>(store.flat_size()), 0);
  for (std::size_t p = 0; p < store.size(); ++p) {
    CHECK(reinterpret_cast<std::uintptr_t>(store.weights(p)) % 64 == 0);
    for (std::int64_t i = 0; i < store.spec(p).shape.count(); ++i) {
      char& slot = used[static_cast<std::size_t>(store.offset(p) + i)];
      CHECK(slot == 0);  // no two parameters overlap
      slot = 1;
    }
  }
  const auto* flat = static_cast<const float*>(store.weights());
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) CHECK(flat[i] == 0.0f);
  }
}

TEST_CASE("parameters: initial weights depend on seed, parameter and element alone, in every dtype") {
  Context context = cpu();
  ParameterStore a(context, DType::f32, specs());
  ParameterStore b(context, DType::f64, specs());
  a.initialize(Initialization::pytorch, 42);
  b.initialize(Initialization::pytorch, 42);
  for (std::size_t p = 0; p < a.size(); ++p) {
    const auto narrow = a.read<float>(a.weights(), p);
    const auto wide = b.read<double>(b.weights(), p);
    CHECK(std::vector<double>(narrow.begin(), narrow.end()) == wide);
  }
  a.initialize(Initialization::pytorch, 43);
  CHECK(a.read<float>(a.weights(), 0)[0] != static_cast<float>(b.read<double>(b.weights(), 0)[0]));
  // The sizes of the other parameters do not matter.
  std::vector<ParameterSpec> larger = specs();
  larger[0].shape = {9, 3, 3, 3};
  ParameterStore c(context, DType::f64, larger);
  c.initialize(Initialization::pytorch, 42);
  CHECK(c.read<double>(c.weights(), 2) == b.read<double>(b.weights(), 2));
}

TEST_CASE("parameters: the schemes have the variances of their definitions") {
  Context context = cpu();
  const std::int64_t fan_in = 50, fan_out = 200;
  ParameterStore store(
      context, DType::f64,
      {{"weight", {fan_out, fan_in}, fan_in, fan_out, false}, {"bias", {fan_out}, fan_in, fan_out, true}});
  const std::uint64_t seed = 7;
  CAPTURE(seed);
  struct Expected {
    Initialization scheme;
    double variance, bound;
  };
  const double xavier = std::sqrt(6.0 / (fan_in + fan_out));
  for (const Expected& expected :
       {Expected{Initialization::pytorch, 1.0 / 3 / fan_in, 1 / std::sqrt(fan_in * 1.0)},
        Expected{Initialization::kaiming_normal, 2.0 / fan_in, 1e9},
        Expected{Initialization::xavier_uniform, xavier * xavier / 3, xavier}}) {
    CAPTURE(static_cast<int>(expected.scheme));
    store.initialize(expected.scheme, seed);
    const auto weights = store.read<double>(store.weights(), 0);
    double sum = 0, squares = 0, largest = 0;
    for (const double w : weights) {
      sum += w;
      squares += w * w;
      largest = std::max(largest, std::abs(w));
    }
    const double n = static_cast<double>(weights.size());
    // Five standard errors of the mean, and of the variance (kurtosis at most 3).
    CHECK(std::abs(sum / n) < 5 * std::sqrt(expected.variance / n));
    CHECK(std::abs(squares / n - expected.variance) < 5 * expected.variance * std::sqrt(2 / n));
    CHECK(largest <= expected.bound);
    double bias_squares = 0;
    for (const double b : store.read<double>(store.weights(), 1)) bias_squares += b * b;
    CHECK((bias_squares > 0) == (expected.scheme == Initialization::pytorch));
  }
}

TEST_CASE("parameters: names are checked") {
  Context context = cpu();
  CHECK_THROWS_AS(ParameterStore(context, DType::f32, {{"w", {1}}, {"w", {2}}}), std::logic_error);
  ParameterStore store(context, DType::f32, specs());
  CHECK(store.index_of("conv.bias") == 1);
  CHECK_THROWS_AS(store.index_of("conv.biass"), std::logic_error);
  CHECK_THROWS_WITH(store.index_of("conv.biass"),
                    Catch::Contains("conv.biass") && Catch::Contains("fc.weight"));
  const std::vector<float> wrong(4);
  CHECK_THROWS_AS(store.write<float>(store.weights(), 1, wrong), ShapeError);
}
