// Networks on a GPU against Descent on the CPU, which tests/analysis holds against other references: the
// same bits.
#include "kernels/ensemble_mlp/ensemble_mlp.h"

#include <string>
#include <vector>

#include "analysis/mlp/gpu_ensemble.h"
#include "random/random_stream.h"
#include "tests/operations/devices.h"

using namespace qmse;
using namespace qmse::test;

namespace {

struct EnsembleCase {
  MlpShape shape;
  MlpObjective objective;
  DescentRule rule;
  std::uint64_t seed;
  std::vector<double> weights, lr;
};

Samples ensemble_samples(std::int64_t count, std::int64_t inputs, std::int64_t outputs) {
  Samples samples = make_samples(count, inputs, outputs);
  RandomStream random(5, RandomPurpose::test);
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t k = 0; k < inputs; ++k) samples.input(n, k) = random.normal();
    for (std::int64_t o = 0; o < outputs; ++o) samples.target(n, o) = random.uniform();
  }
  return samples;
}

EnsembleCase ensemble_case(const Samples& samples, const std::vector<std::int64_t>& hidden,
                           HiddenActivation activation, MlpLoss loss, DescentRule rule, std::uint64_t seed,
                           std::int64_t steps, double lr, bool biases = true, bool factors = false,
                           double decay = 0) {
  EnsembleCase c{
      .shape = {.widths = {samples.inputs}, .activation = activation, .leak = 0.1, .biases = biases},
      .objective = {.loss = loss, .weight_decay = decay, .slope_factors = {}},
      .rule = rule,
      .seed = seed,
      .weights = {},
      .lr = {}};
  c.shape.widths.insert(c.shape.widths.end(), hidden.begin(), hidden.end());
  c.shape.widths.push_back(samples.outputs);
  RandomStream random(seed, RandomPurpose::test, 1);
  for (std::int64_t i = 0; i < c.shape.parameters(); ++i) c.weights.push_back(0.5 * random.normal());
  if (factors) {
    for (std::int64_t i = 0; i < c.shape.hidden_units() * samples.stride; ++i)
      c.objective.slope_factors.push_back(1 + 0.2 * random.normal());
  }
  for (std::int64_t step = 0; step < steps; ++step) c.lr.push_back(lr / static_cast<double>(step + 1));
  return c;
}

struct EnsembleOutcome {
  std::vector<double> weights;
  double loss;
  std::int64_t steps;
  bool done, finite;
};

EnsembleOutcome on_the_cpu(const Samples& samples, const EnsembleCase& c) {
  Mlp network(c.shape, c.objective, samples);
  Descent descent(network, c.weights, c.rule, c.seed);
  for (const double lr : c.lr) descent.step(lr);
  return {descent.weights(), descent.loss(), descent.steps(), descent.done(), descent.finite()};
}

// All in one ensemble, in launches of these numbers of steps.
template <class D>
std::vector<EnsembleOutcome> on_the_gpu(D& device, const Samples& samples,
                                        const std::vector<EnsembleCase>& cases,
                                        const std::vector<std::int64_t>& launches) {
  std::vector<GpuEnsemble::Member> networks;
  for (const EnsembleCase& c : cases) networks.push_back({c.shape, c.objective, c.weights, c.rule, c.seed});
  const GpuEnsemble::Layout layout = GpuEnsemble::lay_out(samples, networks);
  const std::int64_t scratch = layout.scratch;
  std::vector<EnsembleMember> members = layout.members;
  std::vector<double> numbers = layout.numbers;
  EnsembleSamples there{samples.count, samples.inputs, samples.outputs, samples.stride, nullptr, nullptr};
  for (const EnsembleMember& m : members)
    std::fill_n(numbers.begin() + m.scratch, ensemble_scratch(m, there), NAN);
  const auto numbers_there = device.array(numbers);
  there.x = numbers_there.data();
  there.y = there.x + samples.x.size();
  std::int64_t taken = 0;
  for (const std::int64_t steps : launches) {
    std::vector<double> lr;
    for (const EnsembleCase& c : cases)
      lr.insert(lr.end(), c.lr.begin() + taken, c.lr.begin() + taken + steps);
    const auto on = device.array(members);
    const auto lr_there = device.array(lr);
    ensemble_descent(device.context, static_cast<std::int64_t>(members.size()), on.data(),
                     numbers_there.data(), there, lr_there.data(), steps, scratch);
    members = on.values();
    taken += steps;
  }
  numbers = numbers_there.values();
  std::vector<EnsembleOutcome> outcomes;
  for (std::size_t k = 0; k < cases.size(); ++k) {
    const auto begin = numbers.begin() + members[k].weights;
    outcomes.push_back(
        {std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(cases[k].weights.size())),
         members[k].last_loss, members[k].steps, members[k].done != 0, members[k].finite != 0});
  }
  return outcomes;
}

void check_same(const EnsembleOutcome& gpu, const EnsembleOutcome& cpu) {
  CHECK(gpu.steps == cpu.steps);
  CHECK(gpu.done == cpu.done);
  CHECK(gpu.finite == cpu.finite);
  if (cpu.finite) CHECK(gpu.loss == cpu.loss);
  CHECK(gpu.weights == cpu.weights);
}

void check_as_on_the_cpu(const Samples& samples, const std::vector<EnsembleCase>& cases,
                         const std::vector<std::int64_t>& launches, std::int64_t work = kOneOrder) {
  std::vector<EnsembleOutcome> expected;
  for (const EnsembleCase& c : cases) expected.push_back(on_the_cpu(samples, c));
  Devices devices;
  devices.each_gpu(work, [&](auto& device) {
    const std::vector<EnsembleOutcome> outcomes = on_the_gpu(device, samples, cases, launches);
    for (std::size_t k = 0; k < cases.size(); ++k) {
      INFO("network " << k);
      check_same(outcomes[k], expected[k]);
    }
  });
}

}  // namespace

TEST_CASE("ensemble_mlp: each activation and loss has the bits of the CPU with ragged sizes in one launch") {
  // 133 samples: a chunk and a rest that is no multiple of 4.
  const Samples samples = ensemble_samples(133, 3, 2);
  const DescentRule momentum{.momentum = 0.9};
  check_as_on_the_cpu(
      samples,
      {ensemble_case(samples, {5}, HiddenActivation::tanh, MlpLoss::mse, momentum, 1, 3, 0.1),
       ensemble_case(samples, {4, 7}, HiddenActivation::leaky_relu, MlpLoss::expected_qmse, {}, 2, 3, 0.1),
       ensemble_case(samples, {}, HiddenActivation::identity, MlpLoss::bce, momentum, 3, 3, 0.1),
       ensemble_case(samples, {1}, HiddenActivation::relu, MlpLoss::qmse, {}, 4, 3, 0.1),
       ensemble_case(samples, {6}, HiddenActivation::sigmoid, MlpLoss::bce, {}, 5, 3, 0.5, false, false,
                     0.01),
       ensemble_case(samples, {3, 2}, HiddenActivation::tanh, MlpLoss::mse, momentum, 6, 3, 0.1, true, true)},
      {3});
}

TEST_CASE("ensemble_mlp: batches and noise are those of the CPU across launches as in one") {
  const Samples samples = ensemble_samples(29, 4, 3);
  const auto tanh = HiddenActivation::tanh;
  const auto cases = [&](std::int64_t steps) {
    return std::vector<EnsembleCase>{
        ensemble_case(samples, {5}, tanh, MlpLoss::mse, {.batch = 7}, 1, steps, 0.1),
        ensemble_case(samples, {5}, tanh, MlpLoss::qmse, {.momentum = 0.9, .batch = 10}, 2, steps, 0.01),
        ensemble_case(samples, {4}, HiddenActivation::leaky_relu, MlpLoss::mse, {.batch = 45}, 3, steps, 0.1,
                      true, true),
        ensemble_case(samples, {5}, tanh, MlpLoss::mse, {.noise = StepNoise::sphere, .noise_scale = 0.3}, 4,
                      steps, 0.1),
        ensemble_case(samples, {3}, tanh, MlpLoss::mse,
                      {.momentum = 0.5, .batch = 3, .noise = StepNoise::gaussian, .noise_scale = 0.1}, 5,
                      steps, 0.1)};
  };
  check_as_on_the_cpu(samples, cases(6), {1, 3, 2});
}

// Of 298 samples the highest 278 of 2^32 words are refused; the first word of this seed is one of them.
TEST_CASE("ensemble_mlp: a refused random word is passed over as on the CPU") {
  const Samples samples = ensemble_samples(298, 1, 1);
  constexpr std::uint64_t kSeed = 323239;
  const std::uint64_t fair = (std::uint64_t{1} << 32) / 298 * 298;
  REQUIRE(random_bits(kSeed, RandomPurpose::data_order, 0, 0, 0, 0).x[0] >= fair);
  check_as_on_the_cpu(
      samples,
      {ensemble_case(samples, {2}, HiddenActivation::tanh, MlpLoss::mse, {.batch = 7}, kSeed, 3, 0.1)}, {3});
}

TEST_CASE("ensemble_mlp: a network alone has the bits that it has among others") {
  const Samples samples = ensemble_samples(10, 2, 1);
  const EnsembleCase one =
      ensemble_case(samples, {3}, HiddenActivation::tanh, MlpLoss::mse, {.momentum = 0.9}, 1, 4, 0.2);
  const EnsembleCase other =
      ensemble_case(samples, {9, 2}, HiddenActivation::relu, MlpLoss::mse, {}, 2, 4, 0.2);
  check_as_on_the_cpu(samples, {one}, {4}, 1);
  check_as_on_the_cpu(samples, {other, one}, {4}, 1);
}

TEST_CASE("ensemble_mlp: what diverges, and what has arrived, stops where it does on the CPU") {
  const Samples samples = ensemble_samples(12, 2, 1);
  EnsembleCase diverges =
      ensemble_case(samples, {4}, HiddenActivation::relu, MlpLoss::expected_qmse, {}, 1, 12, 1e6);
  EnsembleCase arrived = ensemble_case(samples, {2}, HiddenActivation::tanh, MlpLoss::mse, {}, 2, 12, 0.1);
  std::fill(arrived.weights.begin(), arrived.weights.end(), 0.0);
  Samples zeros = samples;
  std::fill(zeros.y.begin(), zeros.y.end(), 0.0);
  EnsembleCase not_a_number =
      ensemble_case(samples, {2}, HiddenActivation::tanh, MlpLoss::mse, {}, 3, 12, 0.1);
  not_a_number.weights[0] = NAN;
  const EnsembleOutcome lost = on_the_cpu(samples, diverges);
  REQUIRE(!lost.finite);
  REQUIRE(on_the_cpu(zeros, arrived).done);
  check_as_on_the_cpu(samples, {diverges}, {5, 7});
  check_as_on_the_cpu(zeros, {arrived}, {12});
  Devices devices;
  devices.each_gpu(kOneOrder, [&](auto& device) {
    const EnsembleOutcome outcome = on_the_gpu(device, samples, {not_a_number}, {12}).front();
    CHECK((outcome.done && !outcome.finite && outcome.steps == 0));
  });
}

TEST_CASE("ensemble_mlp: a network too large for shared memory works in its scratch") {
  const Samples samples = ensemble_samples(8, 60, 4);
  // 3 x 6,624 parameters are more than 46 KiB; of the second the layers alone are beyond it.
  check_as_on_the_cpu(
      samples,
      {ensemble_case(samples, {100}, HiddenActivation::tanh, MlpLoss::mse, {.momentum = 0.9}, 1, 1, 0.1)},
      {1});
  const Samples many = ensemble_samples(130, 2, 1);
  check_as_on_the_cpu(many, {ensemble_case(many, {40}, HiddenActivation::tanh, MlpLoss::mse, {}, 2, 1, 0.1)},
                      {1});
}
