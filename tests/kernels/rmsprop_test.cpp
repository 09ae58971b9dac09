#include "kernels/optimizer_step/rmsprop.h"

#include <cmath>
#include <limits>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

using Hyper = RmspropRule::Hyper;

template <class T>
struct Rmsprop {
  Hyper hyper;
  std::vector<T> w, s, buffer, average;
  const std::uint64_t steps_taken = 0;  // neither rule looks at it

  Rmsprop(const Hyper& settings, std::vector<T> weights)
      : hyper(settings), w(std::move(weights)), s(w.size(), T(0)), buffer(s), average(s) {}

  void step(CpuContext& context, const std::vector<T>& gradient, double rate) {
    const auto n = static_cast<std::int64_t>(w.size());
    OptimizerArgs<T> args;
    args.n = n;
    args.weights = w.data();
    args.gradients = gradient.data();
    // A buffer that is not kept is not touched, and need not be there.
    args.states[0] = s.data();
    args.states[1] = hyper.momentum != 0 ? buffer.data() : nullptr;
    args.states[2] = hyper.centered ? average.data() : nullptr;
    args.step = &steps_taken;
    args.learning_rate = &rate;
    optimizer_step<RmspropRule>(context, hyper, args);
  }
};

const Hyper kHypers[] = {{},
                         {0.9, 1e-3, 0.05, 0, false},
                         {0.9, 1e-3, 0, 0.8, false},
                         {0.6, 1e-2, 0.05, 0, true},
                         {0.6, 1e-2, 0.05, 0.8, true}};

template <class T>
void check_against_reference() {
  CpuContext context(2);
  for (const Hyper& hyper : kHypers) {
    for (const std::int64_t n : {1, 7, 4097, 40000}) {
      CAPTURE(hyper.alpha, hyper.momentum, hyper.centered, n);
      Rmsprop<T> rmsprop(hyper, random_values<T>(n, 1));
      ReferenceRmsprop reference{hyper.alpha,    hyper.epsilon,  hyper.weight_decay,
                                 hyper.momentum, hyper.centered, to_f64(rmsprop.w)};
      for (int step = 0; step < 5; ++step) {
        const auto gradient = random_values<T>(n, 10 + static_cast<std::uint64_t>(step));
        const double rate = 0.001 / (1 + step);
        rmsprop.step(context, gradient, rate);
        reference.step(to_f64(gradient), rate);
      }
      // Weights of about 1 move by at most 0.01 a step: their own rounding, five times. s - a^2 cancels by
      // at most a factor of some 100 where a step is left, which is a ten-thousandth of a weight.
      const double epsilon = std::numeric_limits<T>::epsilon();
      check_close(rmsprop.w, reference.w, 0, 16 * epsilon);
      check_close(rmsprop.s, reference.v, 16 * epsilon);
      if (hyper.centered) check_close(rmsprop.average, reference.average, 0, 8 * epsilon);
    }
  }
}

}  // namespace

TEST_CASE("rmsprop: two steps by hand") {
  CpuContext context(1);
  // alpha 0.75, epsilon 0.5, weight decay 0.5, learning rate 0.1, w = 1.
  Rmsprop<double> plain({0.75, 0.5, 0.5, 0, false}, {1.0});
  plain.step(context, {1.5}, 0.1);  // g = 2; s = 1; w = 1 - 0.1 * 2 / 1.5
  CHECK(plain.s[0] == 1.0);
  CHECK(plain.w[0] == Approx(1 - 0.2 / 1.5).epsilon(1e-15));

  Rmsprop<double> full({0.75, 0.5, 0, 0.5, true}, {1.0});
  full.step(context, {2.0}, 0.1);  // s = 1, a = 0.5; d = 2 / (sqrt(0.75) + 0.5) = b
  const double first = 2 / (std::sqrt(0.75) + 0.5);
  CHECK(full.average[0] == 0.5);
  CHECK(full.buffer[0] == Approx(first).epsilon(1e-15));
  full.step(context, {-1.0}, 0.1);  // s = 1, a = 0.125; d = -1 / (sqrt(1 - 0.125^2) + 0.5); b = b / 2 + d
  const double second = first / 2 - 1 / (std::sqrt(1 - 0.015625) + 0.5);
  CHECK(full.s[0] == 1.0);
  CHECK(full.average[0] == 0.125);
  CHECK(full.w[0] == Approx(1 - 0.1 * (first + second)).epsilon(1e-15));
}

TEST_CASE("rmsprop: several steps agree with the reference, f32") { check_against_reference<float>(); }
TEST_CASE("rmsprop: several steps agree with the reference, f64") { check_against_reference<double>(); }

TEST_CASE("rmsprop: the number of threads changes no bit") {
  const std::int64_t n = 100003;
  const auto weights = random_values<float>(n, 3), gradient = random_values<float>(n, 4);
  CpuContext one(1);
  Rmsprop<float> expected(kHypers[4], weights);
  expected.step(one, gradient, 0.1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    Rmsprop<float> rmsprop(kHypers[4], weights);
    rmsprop.step(context, gradient, 0.1);
    CHECK((rmsprop.w == expected.w));
  }
}
