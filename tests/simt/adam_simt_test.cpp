#include <cstdint>
#include <vector>

#include "kernels/optimizer_step/optimizer_step.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr double kEpsilon = 1.2e-7;  // of f32

}  // namespace

TEST_CASE("adam: the kernel follows the reference for several steps") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const AdamRule::Hyper& hyper : {AdamRule::Hyper{}, AdamRule::Hyper{0.8, 0.95, 1e-3, 0.05}}) {
      for (const std::int64_t n : {0, 1, 4103}) {
        for (const std::size_t offset : {0u, 1u}) {
          CAPTURE(seed, hyper.beta1, n, offset);
          const std::vector<float> zeros(static_cast<std::size_t>(n));
          Placed w(random_values<float>(n, 1), offset), m(zeros, offset), s(zeros, offset);
          ReferenceAdam reference{hyper.beta1, hyper.beta2, hyper.epsilon, hyper.weight_decay,
                                  to_f64(w.values())};
          simt::Context gpu(seed);
          for (std::uint64_t step = 0; step < 3; ++step) {
            Placed gradient(random_values<float>(n, 10 + step), offset);
            const double rate = 0.01 / static_cast<double>(1 + step);
            OptimizerArgs<float> args;
            args.n = n;
            args.weights = w.data();
            args.gradients = gradient.data();
            args.states[0] = m.data();
            args.states[1] = s.data();
            args.step = &step;
            args.learning_rate = &rate;
            optimizer_step<AdamRule>(gpu, hyper, args);
            reference.step(to_f64(gradient.values()), rate);
          }
          check_close(w.values(), reference.w, 0, 4 * kEpsilon);  // weights of about 1, steps of about 0.01
          check_close(m.values(), reference.m, 0, 4 * kEpsilon);
          check_close(s.values(), reference.v, 16 * kEpsilon);
        }
      }
    }
  }
}
