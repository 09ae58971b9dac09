// Whole-network gradients against central differences in f64, for every loss and for both architectures.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "losses/cross_entropy.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"
#include "models/mlp.h"
#include "models/simple_cnn.h"
#include "tests/support/catch.h"
#include "tests/support/cpu.h"
#include "tests/support/toy_data.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::int64_t kBatch = 3;
constexpr std::int64_t kClasses = 4;
// A step of h moves a pre-activation by far less than kKinkDistance, so no ReLU or pooling choice flips.
constexpr double kStep = 1e-5;
constexpr double kKinkDistance = 2e-4;

using MakeModel = std::function<Sequential(const Shape& input)>;

struct Problem {
  Problem(const MakeModel& make, const Loss& loss, std::uint64_t seed)
      : model(make({2, 9, 7})),
        data(context, kBatch, {2, 9, 7}, kClasses, seed),
        store(context, DType::f64, model.parameters()),
        pass(context, network_of(model, store), data.resident, loss, kBatch,
             {.gradients = true, .fuse = false, .keep_loss_details = true}) {
    store.initialize(Initialization::pytorch, seed);
    std::iota(order.begin(), order.end(), 0u);
    pass.train(order.data(), &first, &step);
  }

  std::vector<double> outputs() { return values<double>(pass.tape(), pass.output()); }

  // Distance of the nearest ReLU input to zero and of the nearest pooling winner to its runner-up.
  double kink_distance() {
    Tape& tape = pass.tape();
    double nearest = 1e9;
    for (int id = 0; id < tape.value_count(); ++id) {
      const std::string& name = tape.name(Value{id});
      if (name.starts_with("relu") || name.starts_with("act")) {
        for (const double x : values<double>(tape, Value{id - 1})) nearest = std::min(nearest, std::abs(x));
      }
      if (name.starts_with("pool")) nearest = std::min(nearest, pool_gap(Value{id - 1}));
    }
    return nearest;
  }

  double pool_gap(Value value) {
    const Shape& shape = pass.tape().shape(value);
    const std::vector<double> x = values<double>(pass.tape(), value);
    double nearest = 1e9;
    for (std::int64_t image = 0; image < shape[0] * shape[1]; ++image) {
      for (std::int64_t row = 0; row + 1 < shape[2]; row += 2) {
        for (std::int64_t column = 0; column + 1 < shape[3]; column += 2) {
          const auto at = [&](std::int64_t i, std::int64_t j) {
            return x[static_cast<std::size_t>((image * shape[2] + row + i) * shape[3] + column + j)];
          };
          std::array<double, 4> window{at(0, 0), at(0, 1), at(1, 0), at(1, 1)};
          std::sort(window.begin(), window.end());
          if (window[3] > 0) nearest = std::min(nearest, window[3] - window[2]);  // all zero: nothing passes
        }
      }
    }
    return nearest;
  }

  Context context = cpu(2);
  Sequential model;
  ToyData<double> data;
  ParameterStore store;
  BatchPass<double> pass;
  std::vector<std::uint32_t> order = std::vector<std::uint32_t>(kBatch);
  std::uint64_t first = 0, step = 5;
};

// The batch at the base point, which a frozen Q needs, and labels.
struct Base {
  std::vector<std::int32_t> labels;
  std::vector<double> r, v;
};

// One sample's loss, written from the definitions: outputs f, residual r = y - f, and the base point's r0
// and v.
using SampleLoss = std::function<double(std::span<const double> f, std::span<const double> r,
                                        const double* r0, const double* v)>;

double mean_loss(const SampleLoss& loss, const std::vector<double>& outputs, const Base& base) {
  double sum = 0;
  for (std::size_t row = 0; row < kBatch; ++row) {
    const std::span<const double> f(outputs.data() + row * kClasses, kClasses);
    std::vector<double> r(kClasses);
    for (std::size_t i = 0; i < kClasses; ++i) {
      r[i] = (static_cast<std::int32_t>(i) == base.labels[row] ? 1.0 : 0.0) - f[i];
    }
    sum +=
        loss(f, r, base.r.data() + row * kClasses, base.v.empty() ? nullptr : base.v.data() + row * kClasses);
  }
  return sum / kBatch;
}

double mse(std::span<const double>, std::span<const double> r, const double*, const double*) {
  double sum = 0;
  for (const double x : r) sum += 0.5 * x * x;
  return sum;
}

double cross_entropy(std::span<const double> f, std::span<const double> r, const double*, const double*) {
  double sum = 0, at_label = 0;
  for (std::size_t i = 0; i < f.size(); ++i) {
    sum += std::exp(f[i]);
    if (std::abs(r[i] + f[i] - 1.0) < 0.5) at_label = f[i];  // r + f is the one-hot target
  }
  return std::log(sum) - at_label;
}

double qmse_full(std::span<const double>, std::span<const double> r, const double*, const double* v) {
  double a = 0;
  for (std::size_t i = 0; i < r.size(); ++i) a += r[i] * (r[i] + v[i]);
  return 0.5 * a * a;
}

// 1/2 r^T Q0 r = 1/2 <r0 + v, r>^2.
double qmse_frozen(std::span<const double>, std::span<const double> r, const double* r0, const double* v) {
  double projection = 0;
  for (std::size_t i = 0; i < r.size(); ++i) projection += (r0[i] + v[i]) * r[i];
  return 0.5 * projection * projection;
}

// 1/2 (||r0||^2 + 1/c) ||r||^2.
double qmse_expected_frozen(std::span<const double>, std::span<const double> r, const double* r0,
                            const double*) {
  double weight = 1.0 / static_cast<double>(r.size()), squared = 0;
  for (std::size_t i = 0; i < r.size(); ++i) {
    weight += r0[i] * r0[i];
    squared += r[i] * r[i];
  }
  return 0.5 * weight * squared;
}

SampleLoss times(double factor, const SampleLoss& loss) {
  return [=](auto f, auto r, const double* r0, const double* v) { return factor * loss(f, r, r0, v); };
}

void check_gradients(const MakeModel& make, const Loss& loss, const SampleLoss& reference) {
  // The first seed whose base point keeps its distance from the kinks.
  std::optional<Problem> problem;
  std::uint64_t seed = 100;
  for (;; ++seed) {
    REQUIRE(seed < 2000);
    problem.emplace(make, loss, seed);
    if (problem->kink_distance() > kKinkDistance) break;
  }
  CAPTURE(seed, loss.name());
  constexpr std::size_t outputs = kBatch * kClasses;
  const auto stored = [&](std::size_t detail) {
    const auto* first = static_cast<const double*>(problem->pass.details()[detail].data);
    return std::vector<double>(first, first + outputs);
  };
  Base base{problem->data.labels.read<std::int32_t>(), stored(0), {}};
  if (problem->pass.details().size() > 1) base.v = stored(1);
  double reported = 0;
  for (std::int64_t i = 0; i < kBatch; ++i) reported += problem->pass.sample_loss()[i] / kBatch;
  CHECK(reported == Approx(mean_loss(reference, problem->outputs(), base)).epsilon(1e-12));

  auto* weights = static_cast<double*>(problem->store.weights());
  const auto* gradient = static_cast<const double*>(problem->store.gradients());
  const std::vector<double> gradients(gradient, gradient + problem->store.flat_size());
  double largest = 0;
  for (const double g : gradients) largest = std::max(largest, std::abs(g));
  // Every 3rd weight: enough to meet each parameter and each kernel position.
  for (std::size_t p = 0; p < problem->store.size(); ++p) {
    for (std::int64_t i = 0; i < problem->store.spec(p).shape.count(); i += 3) {
      const std::int64_t at = problem->store.offset(p) + i;
      const double kept = weights[at];
      const auto loss_at = [&](double w) {
        weights[at] = w;
        problem->pass.tape().forward();
        return mean_loss(reference, problem->outputs(), base);
      };
      const double difference = (loss_at(kept + kStep) - loss_at(kept - kStep)) / (2 * kStep);
      weights[at] = kept;
      const double found = gradients[static_cast<std::size_t>(at)];
      CAPTURE(problem->store.spec(p).name, i, difference, found);
      // Relative to the element, or to the largest where an element is small beside rounding (1e-16 / h).
      REQUIRE(std::abs(difference - found) <= 1e-6 * std::max(std::abs(difference), 1e-3 * largest));
    }
  }
}

void check_every_loss(const MakeModel& make) {
  constexpr double element_mean = 2.0 / kClasses;
  check_gradients(make, MseLoss(), mse);
  check_gradients(make, MseLoss(Reduction::element_mean), times(element_mean, mse));
  check_gradients(make, CrossEntropyLoss(), cross_entropy);
  check_gradients(make, QmseExpectedLoss(), qmse_expected_frozen);
  check_gradients(make, QmseExpectedLoss(Reduction::element_mean), times(element_mean, qmse_expected_frozen));
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const DirectionScope scope : {DirectionScope::per_sample, DirectionScope::per_batch}) {
      QmseOptions options{
          .distribution = distribution, .scope = scope, .q_gradient = QGradient::constant, .seed = 9};
      check_gradients(make, QmseLoss(options), qmse_frozen);
      check_gradients(make, QmseLoss(options, Reduction::element_mean), times(element_mean, qmse_frozen));
      options.q_gradient = QGradient::full;
      check_gradients(make, QmseLoss(options), qmse_full);
    }
  }
}

}  // namespace

TEST_CASE("gradient: the CNN's agree with central differences for every loss") {
  check_every_loss([](const Shape& input) {
    return make_simple_cnn(input, kClasses, {.conv_channels = {3, 5}, .fc_width = 6});
  });
}

TEST_CASE("gradient: the MLP's agree with central differences for every loss and activation") {
  check_every_loss([](const Shape& input) { return make_mlp(input, kClasses, {.widths = {7, 5}}); });
  for (const Activation activation : {Activation::tanh, Activation::sigmoid, Activation::identity}) {
    CAPTURE(static_cast<int>(activation));
    check_gradients(
        [=](const Shape& input) {
          return make_mlp(input, kClasses, {.widths = {6}, .activation = activation});
        },
        MseLoss(), mse);
  }
}
