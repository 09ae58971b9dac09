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

TEST_CASE("rmsprop: the kernels follow the reference for several steps") {
  using Hyper = RmspropRule::Hyper;
  for (const std::uint64_t seed : simt::seeds()) {
    for (const Hyper& hyper : {Hyper{}, Hyper{0.9, 1e-3, 0, 0.8, false}, Hyper{0.6, 1e-2, 0.05, 0, true},
                               Hyper{0.6, 1e-2, 0.05, 0.8, true}}) {
      for (const std::int64_t n : {0, 1, 4103}) {
        for (const std::size_t offset : {0u, 1u}) {
          CAPTURE(seed, hyper.momentum, hyper.centered, n, offset);
          const std::vector<float> zeros(static_cast<std::size_t>(n));
          Placed w(random_values<float>(n, 1), offset), s(zeros, offset), buffer(zeros, offset),
              average(zeros, offset);
          ReferenceRmsprop reference{hyper.alpha,    hyper.epsilon,  hyper.weight_decay,
                                     hyper.momentum, hyper.centered, to_f64(w.values())};
          simt::Context gpu(seed);
          for (std::uint64_t step = 0; step < 3; ++step) {
            Placed gradient(random_values<float>(n, 10 + step), offset);
            const double rate = 0.001 / static_cast<double>(1 + step);
            OptimizerArgs<float> args;
            args.n = n;
            args.weights = w.data();
            args.gradients = gradient.data();
            args.states[0] = s.data();
            args.states[1] = hyper.momentum != 0 ? buffer.data() : nullptr;
            args.states[2] = hyper.centered ? average.data() : nullptr;
            args.step = &step;
            args.learning_rate = &rate;
            optimizer_step<RmspropRule>(gpu, hyper, args);
            reference.step(to_f64(gradient.values()), rate);
          }
          check_close(w.values(), reference.w, 0, 16 * kEpsilon);  // as on the CPU
          check_close(s.values(), reference.v, 16 * kEpsilon);
          if (hyper.centered) check_close(average.values(), reference.average, 0, 8 * kEpsilon);
        }
      }
    }
  }
}
