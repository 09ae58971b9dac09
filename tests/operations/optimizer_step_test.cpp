// Every rule of kernels/optimizer_step on every device, against its reference in f64.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/optimizer_step/rules.h"
#include "tests/operations/devices.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Weights and states on a device, `offset` elements after an aligned address.
template <class Rule, class D>
class Steps {
 public:
  using T = typename D::Number;
  using Hyper = typename Rule::Hyper;

  Steps(const D& device, const Hyper& hyper, const std::vector<T>& weights, std::size_t offset = 0)
      : device_(&device), hyper_(hyper), offset_(offset), w_(device.array(weights, offset)) {
    for (unsigned k = 0; k < std::size(Rule::kStates); ++k)
      states_.push_back(device.array(std::vector<T>(weights.size(), T(0)), offset));
  }

  void step(const std::vector<T>& gradient, double rate, std::int64_t held = -1) {
    const auto gradient_there = device_->array(gradient, offset_);
    const auto rate_there = device_->number(rate);
    const auto taken_there = device_->number(steps_taken);
    const auto held_there = device_->number(held);
    OptimizerArgs<T> args;
    args.n = static_cast<std::int64_t>(gradient.size());
    args.weights = w_.data();
    args.gradients = gradient_there.data();
    // A buffer that is not kept is not touched, and need not be there.
    for (unsigned k = 0; k < states_.size(); ++k) args.states[k] = keeps(k) ? states_[k].data() : nullptr;
    args.step = taken_there.data();
    args.learning_rate = rate_there.data();
    args.held = held_there.data();
    optimizer_step<Rule>(device_->context, hyper_, args);
    if (held < 0) ++steps_taken;
  }

  bool keeps(unsigned k) const { return (Rule::kept(hyper_) >> k & 1) != 0; }
  std::vector<T> w() const { return w_.values(); }
  std::vector<T> state(unsigned k) const { return states_[k].values(); }

  std::uint64_t steps_taken = 0;

 private:
  const D* device_;
  Hyper hyper_;
  std::size_t offset_;
  decltype(std::declval<D>().array(std::vector<T>())) w_;
  std::vector<decltype(std::declval<D>().array(std::vector<T>()))> states_;
};

ReferenceSgd reference_of(const SgdRule::Hyper& hyper, const Numbers& w) {
  return {hyper.momentum, hyper.weight_decay, hyper.nesterov, w};
}
ReferenceAdam reference_of(const AdamRule::Hyper& hyper, const Numbers& w) {
  return {hyper.beta1, hyper.beta2, hyper.epsilon, hyper.weight_decay, w};
}
ReferenceRmsprop reference_of(const RmspropRule::Hyper& hyper, const Numbers& w) {
  return {hyper.alpha, hyper.epsilon, hyper.weight_decay, hyper.momentum, hyper.centered, w};
}

// Five steps of five roundings, of numbers up to about 5 (the momenta).
template <class S>
void check_close_to(const S& steps, const ReferenceSgd& reference, double epsilon) {
  check_close(steps.w(), reference.w, 0, 16 * epsilon);
  if (steps.keeps(0)) check_close(steps.state(0), reference.velocity, 0, 32 * epsilon);
}
// Weights of about 1 move by about 0.01 a step: their own rounding, five times. m can cancel to near zero
// where s does not, so an error of m counts as one of some 1e-7 of a step of 0.01.
template <class S>
void check_close_to(const S& steps, const ReferenceAdam& reference, double epsilon) {
  check_close(steps.w(), reference.w, 0, 4 * epsilon);
  check_close(steps.state(0), reference.m, 0, 4 * epsilon);
  check_close(steps.state(1), reference.v, 16 * epsilon);
}
// Weights of about 1 move by at most 0.01 a step: their own rounding, five times. s - a^2 cancels by at most
// a factor of some 100 where a step is left, which is a ten-thousandth of a weight.
template <class S>
void check_close_to(const S& steps, const ReferenceRmsprop& reference, double epsilon) {
  check_close(steps.w(), reference.w, 0, 16 * epsilon);
  check_close(steps.state(0), reference.v, 16 * epsilon);
  if (steps.keeps(2)) check_close(steps.state(2), reference.average, 0, 8 * epsilon);
}

// Five steps, and between them some that must change nothing; `rate` is the first step's.
template <class Rule>
void check_against_reference(const std::vector<typename Rule::Hyper>& hypers, double rate) {
  Devices devices;
  for (std::size_t i = 0; i < hypers.size(); ++i) {
    for (const std::int64_t n : {0, 1, 7, 4097, 4103, 40000}) {
      for (const std::size_t offset : {0u, 1u}) {
        CAPTURE(Rule::kName, i, n, offset);
        devices.each(n, [&](auto& device) {
          using D = std::decay_t<decltype(device)>;
          using T = typename D::Number;
          const auto start = random_values<T>(n, 1);
          Steps<Rule, D> steps(device, hypers[i], start, offset);
          auto reference = reference_of(hypers[i], to_f64(start));
          for (int step = 0; step < 5; ++step) {
            const auto gradient = random_values<T>(n, 10 + static_cast<std::uint64_t>(step));
            steps.step(gradient, rate / (1 + step));
            reference.step(to_f64(gradient), rate / (1 + step));
            const std::vector<T> before = steps.w();
            steps.step(gradient, 0.5, step);  // held
            CHECK((steps.w() == before));
          }
          check_close_to(steps, reference, D::kEpsilon);
        });
      }
    }
  }
}

template <class Rule>
void check_threads(const typename Rule::Hyper& hyper) {
  const std::int64_t n = 100003;
  const auto weights = random_values<float>(n, 3), gradient = random_values<float>(n, 4);
  const auto with = [&](int threads) {
    CpuContext context(threads);
    const Device<CpuContext, float> device{context};
    Steps<Rule, Device<CpuContext, float>> steps(device, hyper, weights);
    steps.step(gradient, 0.1);
    return steps.w();
  };
  const std::vector<float> expected = with(1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CHECK((with(threads) == expected));
  }
}

// One weight that is 1, in f64.
template <class Rule>
struct ByHand {
  explicit ByHand(const typename Rule::Hyper& hyper) : steps(device, hyper, {1.0}) {}
  void step(double gradient, double rate) { steps.step({gradient}, rate); }
  double w() const { return steps.w()[0]; }
  double state(unsigned k) const { return steps.state(k)[0]; }

  CpuContext context{1};
  Device<CpuContext, double> device{context};
  Steps<Rule, Device<CpuContext, double>> steps;
};

const std::vector<SgdRule::Hyper> kSgd = {{0, 0, false},      {0, 0.01, false},  {0.9, 0, false},
                                          {0.9, 0.01, false}, {0.9, 0.01, true}, {0.5, 0, true}};
const std::vector<AdamRule::Hyper> kAdam = {{}, {0.8, 0.95, 1e-3, 0.05}};
const std::vector<RmspropRule::Hyper> kRmsprop = {{},
                                                  {0.9, 1e-3, 0.05, 0, false},
                                                  {0.9, 1e-3, 0, 0.8, false},
                                                  {0.6, 1e-2, 0.05, 0, true},
                                                  {0.6, 1e-2, 0.05, 0.8, true}};

}  // namespace

TEST_CASE("sgd: several steps agree with the reference, and change nothing when held") {
  check_against_reference<SgdRule>(kSgd, 0.1);
}
TEST_CASE("adam: several steps agree with the reference, and change nothing when held") {
  check_against_reference<AdamRule>(kAdam, 0.01);
}
TEST_CASE("rmsprop: several steps agree with the reference, and change nothing when held") {
  check_against_reference<RmspropRule>(kRmsprop, 0.001);
}

TEST_CASE("sgd: the number of threads changes no bit") { check_threads<SgdRule>({0.9, 0.01, false}); }
TEST_CASE("adam: the number of threads changes no bit") { check_threads<AdamRule>({}); }
TEST_CASE("rmsprop: the number of threads changes no bit") { check_threads<RmspropRule>(kRmsprop[4]); }

TEST_CASE("sgd: two steps by hand") {
  // w = 1, gradient 0.5 then 0.25, learning rate 0.1, momentum 0.5, weight decay 0.2.
  ByHand<SgdRule> plain({0.5, 0.2, false});
  plain.step(0.5, 0.1);  // g = 0.7, m = 0.7, w = 0.93
  CHECK(plain.w() == Approx(0.93).epsilon(1e-15));
  plain.step(0.25, 0.1);  // g = 0.25 + 0.186 = 0.436, m = 0.786, w = 0.8514
  CHECK(plain.state(0) == Approx(0.786).epsilon(1e-15));
  CHECK(plain.w() == Approx(0.8514).epsilon(1e-15));

  ByHand<SgdRule> nesterov({0.5, 0.2, true});
  nesterov.step(0.5, 0.1);  // g = 0.7, m = 0.7, w = 1 - 0.1 (0.7 + 0.35) = 0.895
  CHECK(nesterov.w() == Approx(0.895).epsilon(1e-15));
  nesterov.step(0.25, 0.1);  // g = 0.429, m = 0.779, w = 0.895 - 0.1 (0.429 + 0.3895) = 0.81315
  CHECK(nesterov.w() == Approx(0.81315).epsilon(1e-15));
}

TEST_CASE("sgd: f32 steps round where PyTorch's operations round") {
  Devices devices;
  devices.each_f32(kOneOrder, [](auto& device) {
    using D = std::decay_t<decltype(device)>;
    Steps<SgdRule, D> sgd(device, {0.9, 0.01, true}, random_values<float>(1000, 2));
    std::vector<float> w = sgd.w(), m(w.size(), 0.0f);
    for (int step = 0; step < 3; ++step) {
      const auto gradient = random_values<float>(1000, 20 + static_cast<std::uint64_t>(step));
      sgd.step(gradient, 0.05);
      for (std::size_t i = 0; i < w.size(); ++i) {
        const float g = std::fma(0.01f, w[i], gradient[i]);  // grad.add(param, alpha=weight_decay)
        m[i] = m[i] * 0.9f;                                  // buf.mul_(momentum)
        m[i] = m[i] + g;                                     // .add_(grad)
        w[i] = std::fma(-0.05f, std::fma(0.9f, m[i], g),
                        w[i]);  // param.add_(grad.add(buf, alpha=momentum), alpha=-lr)
      }
    }
    CHECK((sgd.w() == w));
    CHECK((sgd.state(0) == m));
  });
}

TEST_CASE("adam: two steps by hand") {
  // beta1 0.5, beta2 0.75, epsilon 0.5, weight decay 0.5, learning rate 0.1, w = 1.
  ByHand<AdamRule> adam({0.5, 0.75, 0.5, 0.5});
  adam.step(1.5, 0.1);
  // g = 2; m = 1, s = 1; corrections 0.5 and 0.25; w = 1 - 0.1 * 2 / (1 / 0.5 + 0.5) = 0.92.
  CHECK(adam.state(0) == Approx(1.0).epsilon(1e-15));
  CHECK(adam.state(1) == Approx(1.0).epsilon(1e-15));
  CHECK(adam.w() == Approx(0.92).epsilon(1e-15));
  adam.step(0.54, 0.1);
  // g = 1; m = 1, s = 1; corrections 0.75 and 0.4375; w = 0.92 - 0.1 / 0.75 / (1 / sqrt(0.4375) + 0.5).
  CHECK(adam.w() == Approx(0.92 - 0.1 / 0.75 / (1 / std::sqrt(0.4375) + 0.5)).epsilon(1e-15));
}

TEST_CASE("adam: the first step moves every weight by the learning rate") {
  for (const double gradient : {1e-3, -5.0, 1e4}) {
    CAPTURE(gradient);
    ByHand<AdamRule> adam({});
    adam.step(gradient, 0.25);
    // epsilon against the smallest gradient
    CHECK(adam.w() == Approx(1 - std::copysign(0.25, gradient)).epsilon(0).margin(0.25 * 1.1e-5));
  }
}

TEST_CASE("adam: a late step still corrects") {
  ByHand<AdamRule> adam({});
  adam.steps.steps_taken = 999;
  adam.step(1.0, 0.1);
  const double m = 0.1 / (1 - std::pow(0.9, 1000)), s = 0.001 / (1 - std::pow(0.999, 1000));
  CHECK(adam.w() == Approx(1 - 0.1 * m / (std::sqrt(s) + 1e-8)).epsilon(1e-14));
}

TEST_CASE("rmsprop: two steps by hand") {
  // alpha 0.75, epsilon 0.5, weight decay 0.5, learning rate 0.1, w = 1.
  ByHand<RmspropRule> plain({0.75, 0.5, 0.5, 0, false});
  plain.step(1.5, 0.1);  // g = 2; s = 1; w = 1 - 0.1 * 2 / 1.5
  CHECK(plain.state(0) == 1.0);
  CHECK(plain.w() == Approx(1 - 0.2 / 1.5).epsilon(1e-15));

  ByHand<RmspropRule> full({0.75, 0.5, 0, 0.5, true});
  full.step(2.0, 0.1);  // s = 1, a = 0.5; d = 2 / (sqrt(0.75) + 0.5) = b
  const double first = 2 / (std::sqrt(0.75) + 0.5);
  CHECK(full.state(2) == 0.5);
  CHECK(full.state(1) == Approx(first).epsilon(1e-15));
  full.step(-1.0, 0.1);  // s = 1, a = 0.125; d = -1 / (sqrt(1 - 0.125^2) + 0.5); b = b / 2 + d
  const double second = first / 2 - 1 / (std::sqrt(1 - 0.015625) + 0.5);
  CHECK(full.state(0) == 1.0);
  CHECK(full.state(2) == 0.125);
  CHECK(full.w() == Approx(1 - 0.1 * (first + second)).epsilon(1e-15));
}
