#include "kernels/optimizer_step/adam.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

template <class T>
struct Adam {
  AdamRule::Hyper hyper;
  std::vector<T> w, m, s;
  std::uint64_t steps_taken = 0;

  Adam(const AdamRule::Hyper& settings, std::vector<T> weights)
      : hyper(settings), w(std::move(weights)), m(w.size(), T(0)), s(w.size(), T(0)) {}

  void step(CpuContext& context, const std::vector<T>& gradient, double rate) {
    const auto n = static_cast<std::int64_t>(w.size());
    OptimizerArgs<T> args;
    args.n = n;
    args.weights = w.data();
    args.gradients = gradient.data();
    args.states[0] = m.data();
    args.states[1] = s.data();
    args.step = &steps_taken;
    args.learning_rate = &rate;
    optimizer_step<AdamRule>(context, hyper, args);
    ++steps_taken;
  }
};

template <class T>
void check_against_reference() {
  CpuContext context(2);
  for (const AdamRule::Hyper& hyper : {AdamRule::Hyper{}, AdamRule::Hyper{0.8, 0.95, 1e-3, 0.05}}) {
    for (const std::int64_t n : {1, 7, 4097, 40000}) {
      CAPTURE(hyper.beta1, hyper.weight_decay, n);
      Adam<T> adam(hyper, random_values<T>(n, 1));
      ReferenceAdam reference{hyper.beta1, hyper.beta2, hyper.epsilon, hyper.weight_decay, to_f64(adam.w)};
      for (int step = 0; step < 5; ++step) {
        const auto gradient = random_values<T>(n, 10 + static_cast<std::uint64_t>(step));
        const double rate = 0.01 / (1 + step);
        adam.step(context, gradient, rate);
        reference.step(to_f64(gradient), rate);
      }
      // Weights of about 1 move by about 0.01 a step: their own rounding, five times. m can cancel to near
      // zero where s does not, so an error of m counts as one of some 1e-7 of a step of 0.01.
      const double epsilon = std::numeric_limits<T>::epsilon();
      check_close(adam.w, reference.w, 0, 4 * epsilon);
      check_close(adam.m, reference.m, 0, 4 * epsilon);
      check_close(adam.s, reference.v, 16 * epsilon);
    }
  }
}

}  // namespace

TEST_CASE("adam: two steps by hand") {
  CpuContext context(1);
  // beta1 0.5, beta2 0.75, epsilon 0.5, weight decay 0.5, learning rate 0.1, w = 1.
  Adam<double> adam({0.5, 0.75, 0.5, 0.5}, {1.0});
  adam.step(context, {1.5}, 0.1);
  // g = 2; m = 1, s = 1; corrections 0.5 and 0.25; w = 1 - 0.1 * 2 / (1 / 0.5 + 0.5) = 0.92.
  CHECK(adam.m[0] == Approx(1.0).epsilon(1e-15));
  CHECK(adam.s[0] == Approx(1.0).epsilon(1e-15));
  CHECK(adam.w[0] == Approx(0.92).epsilon(1e-15));
  adam.step(context, {0.54}, 0.1);
  // g = 1; m = 1, s = 1; corrections 0.75 and 0.4375; w = 0.92 - 0.1 / 0.75 / (1 / sqrt(0.4375) + 0.5).
  CHECK(adam.w[0] == Approx(0.92 - 0.1 / 0.75 / (1 / std::sqrt(0.4375) + 0.5)).epsilon(1e-15));
}

TEST_CASE("adam: the first step moves every weight by the learning rate") {
  CpuContext context(1);
  Adam<double> adam({}, {0.0, 0.0, 0.0});
  adam.step(context, {1e-3, -5.0, 1e4}, 0.25);
  check_close(adam.w, {-0.25, 0.25, -0.25}, 1.1e-5);  // epsilon against the smallest gradient
}

TEST_CASE("adam: several steps agree with the reference, f32") { check_against_reference<float>(); }
TEST_CASE("adam: several steps agree with the reference, f64") { check_against_reference<double>(); }

TEST_CASE("adam: a late step still corrects") {
  CpuContext context(1);
  Adam<double> adam({}, {1.0});
  adam.steps_taken = 999;
  adam.step(context, {1.0}, 0.1);
  const double m = 0.1 / (1 - std::pow(0.9, 1000)), s = 0.001 / (1 - std::pow(0.999, 1000));
  CHECK(adam.w[0] == Approx(1 - 0.1 * m / (std::sqrt(s) + 1e-8)).epsilon(1e-14));
}

TEST_CASE("adam: the number of threads changes no bit") {
  const std::int64_t n = 100003;
  const auto weights = random_values<float>(n, 3), gradient = random_values<float>(n, 4);
  CpuContext one(1);
  Adam<float> expected({}, weights);
  expected.step(one, gradient, 0.1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    Adam<float> adam({}, weights);
    adam.step(context, gradient, 0.1);
    CHECK((adam.w == expected.w));
  }
}
