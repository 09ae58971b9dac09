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

TEST_CASE("sgd: the kernels follow the reference for several steps") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const SgdRule::Hyper& hyper : {SgdRule::Hyper{0, 0, false}, SgdRule::Hyper{0, 0.01, false},
                                        SgdRule::Hyper{0.9, 0.01, false}, SgdRule::Hyper{0.9, 0.01, true}}) {
      for (const std::int64_t n : {0, 1, 4103}) {
        for (const std::size_t offset : {0u, 1u}) {
          CAPTURE(seed, hyper.momentum, hyper.weight_decay, hyper.nesterov, n, offset);
          Placed w(random_values<float>(n, 1), offset),
              m(std::vector<float>(static_cast<std::size_t>(n)), offset);
          ReferenceSgd reference{hyper.momentum, hyper.weight_decay, hyper.nesterov, to_f64(w.values())};
          simt::Context gpu(seed);
          for (int step = 0; step < 3; ++step) {
            Placed gradient(random_values<float>(n, 10 + static_cast<std::uint64_t>(step)), offset);
            const double rate = 0.1 / (1 + step);
            const std::uint64_t steps_taken = 0;
            OptimizerArgs<float> args;
            args.n = n;
            args.weights = w.data();
            args.gradients = gradient.data();
            args.states[0] = hyper.momentum != 0 ? m.data() : nullptr;
            args.step = &steps_taken;
            args.learning_rate = &rate;
            optimizer_step<SgdRule>(gpu, hyper, args);
            reference.step(to_f64(gradient.values()), rate);
          }
          check_close(w.values(), reference.w, 0, 8 * kEpsilon);  // weights of about 1, three steps
          if (hyper.momentum != 0) check_close(m.values(), reference.velocity, 0, 16 * kEpsilon);
        }
      }
    }
  }
}
