#include "kernels/optimizer_step/sgd.h"

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
struct Sgd {
  SgdRule::Hyper hyper;
  std::vector<T> w, m;
  const std::uint64_t steps_taken = 0;  // neither rule looks at it

  Sgd(const SgdRule::Hyper& settings, std::vector<T> weights)
      : hyper(settings), w(std::move(weights)), m(settings.momentum != 0 ? w.size() : 0, T(0)) {}

  void step(CpuContext& context, const std::vector<T>& gradient, double rate) {
    const auto n = static_cast<std::int64_t>(w.size());
    OptimizerArgs<T> args;
    args.n = n;
    args.weights = w.data();
    args.gradients = gradient.data();
    args.states[0] = m.empty() ? nullptr : m.data();
    args.step = &steps_taken;
    args.learning_rate = &rate;
    optimizer_step<SgdRule>(context, hyper, args);
  }
};

const SgdRule::Hyper kHypers[] = {{0, 0, false},      {0, 0.01, false},  {0.9, 0, false},
                                  {0.9, 0.01, false}, {0.9, 0.01, true}, {0.5, 0, true}};

template <class T>
void check_against_reference() {
  CpuContext context(2);
  for (const SgdRule::Hyper& hyper : kHypers) {
    for (const std::int64_t n : {1, 7, 4097, 40000}) {
      CAPTURE(hyper.momentum, hyper.weight_decay, hyper.nesterov, n);
      Sgd<T> sgd(hyper, random_values<T>(n, 1));
      ReferenceSgd reference{hyper.momentum, hyper.weight_decay, hyper.nesterov, to_f64(sgd.w)};
      for (int step = 0; step < 5; ++step) {
        const auto gradient = random_values<T>(n, 10 + static_cast<std::uint64_t>(step));
        const double rate = 0.1 / (1 + step);
        sgd.step(context, gradient, rate);
        reference.step(to_f64(gradient), rate);
      }
      // Five steps of five roundings, of numbers up to about 5 (the momenta).
      check_close(sgd.w, reference.w, 0, 16 * std::numeric_limits<T>::epsilon());
      if (!sgd.m.empty()) check_close(sgd.m, reference.velocity, 0, 32 * std::numeric_limits<T>::epsilon());
    }
  }
}

}  // namespace

TEST_CASE("sgd: two steps by hand") {
  CpuContext context(1);
  // w = 1, gradient 0.5 then 0.25, learning rate 0.1, momentum 0.5, weight decay 0.2.
  Sgd<double> plain({0.5, 0.2, false}, {1.0});
  plain.step(context, {0.5}, 0.1);  // g = 0.7, m = 0.7, w = 0.93
  CHECK(plain.w[0] == Approx(0.93).epsilon(1e-15));
  plain.step(context, {0.25}, 0.1);  // g = 0.25 + 0.186 = 0.436, m = 0.786, w = 0.8514
  CHECK(plain.m[0] == Approx(0.786).epsilon(1e-15));
  CHECK(plain.w[0] == Approx(0.8514).epsilon(1e-15));

  Sgd<double> nesterov({0.5, 0.2, true}, {1.0});
  nesterov.step(context, {0.5}, 0.1);  // g = 0.7, m = 0.7, w = 1 - 0.1 (0.7 + 0.35) = 0.895
  CHECK(nesterov.w[0] == Approx(0.895).epsilon(1e-15));
  nesterov.step(context, {0.25}, 0.1);  // g = 0.429, m = 0.779, w = 0.895 - 0.1 (0.429 + 0.3895) = 0.81315
  CHECK(nesterov.w[0] == Approx(0.81315).epsilon(1e-15));
}

TEST_CASE("sgd: several steps agree with the reference, f32") { check_against_reference<float>(); }
TEST_CASE("sgd: several steps agree with the reference, f64") { check_against_reference<double>(); }

TEST_CASE("sgd: f32 steps round where PyTorch's operations round") {
  CpuContext context(1);
  const std::int64_t n = 1000;
  Sgd<float> sgd({0.9, 0.01, true}, random_values<float>(n, 2));
  std::vector<float> w = sgd.w, m(w.size(), 0.0f);
  for (int step = 0; step < 3; ++step) {
    const auto gradient = random_values<float>(n, 20 + static_cast<std::uint64_t>(step));
    sgd.step(context, gradient, 0.05);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const float g = std::fma(0.01f, w[i], gradient[i]);  // grad.add(param, alpha=weight_decay)
      m[i] = m[i] * 0.9f;                                  // buf.mul_(momentum)
      m[i] = m[i] + g;                                     // .add_(grad)
      w[i] = std::fma(-0.05f, std::fma(0.9f, m[i], g),
                      w[i]);  // param.add_(grad.add(buf, alpha=momentum), alpha=-lr)
    }
  }
  CHECK((sgd.w == w));
  CHECK((sgd.m == m));
}

TEST_CASE("sgd: no weights, no trouble") {
  CpuContext context(1);
  Sgd<float> sgd({0.9, 0, false}, {});
  sgd.step(context, {}, 0.1);
}

TEST_CASE("sgd: the number of threads changes no bit") {
  const std::int64_t n = 100003;
  const auto weights = random_values<float>(n, 3), gradient = random_values<float>(n, 4);
  CpuContext one(1);
  Sgd<float> expected({0.9, 0.01, false}, weights);
  expected.step(one, gradient, 0.1);
  for (const int threads : {2, 3, 5}) {
    CAPTURE(threads);
    CpuContext context(threads);
    Sgd<float> sgd({0.9, 0.01, false}, weights);
    sgd.step(context, gradient, 0.1);
    CHECK((sgd.w == expected.w));
  }
}
