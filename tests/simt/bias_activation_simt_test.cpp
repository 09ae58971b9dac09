#include <cstdint>
#include <vector>

#include "kernels/bias_activation/bias_activation.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr Activation kActivations[] = {Activation::identity, Activation::relu, Activation::tanh,
                                       Activation::sigmoid};
constexpr double kTolerance = 4 * 1.2e-7;  // f32: a few roundings

std::int64_t count(const BiasShape& shape) { return shape.batch * shape.channels * shape.inner; }

}  // namespace

TEST_CASE("bias_activation: the forward kernel agrees with the reference") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const BiasShape& shape : {BiasShape{1, 1, 1}, BiasShape{7, 10, 1}, BiasShape{2, 3, 5},
                                   BiasShape{3, 5, 196}, BiasShape{11, 129, 1}, BiasShape{0, 3, 4}}) {
      for (const Activation activation : kActivations) {
        for (const bool with_bias : {true, false}) {
          for (const std::size_t offset : {0u, 1u}) {  // from a 16-byte boundary
            CAPTURE(seed, shape.batch, shape.channels, shape.inner, static_cast<int>(activation), with_bias,
                    offset);
            const auto x = random_values<float>(count(shape), 1, -3, 3);
            const auto bias = random_values<float>(shape.channels, 2);
            Placed y(x, offset);  // in place
            simt::Launcher launcher(seed);
            launch_bias_activation_forward(launcher, shape, activation, y.data(),
                                           with_bias ? bias.data() : nullptr, y.data());
            check_close(
                y.values(),
                reference_bias_activation(shape, activation, to_f64(x), with_bias ? to_f64(bias) : Numbers()),
                kTolerance, kTolerance);
          }
        }
      }
    }
  }
}

TEST_CASE("bias_activation: the backward kernel follows the output") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const std::int64_t n : {1, 3, 4, 1023, 1029}) {
      for (const Activation activation : kActivations) {
        CAPTURE(seed, n, static_cast<int>(activation));
        const auto y = random_values<float>(n, 3), dy = random_values<float>(n, 4);
        std::vector<float> dx = dy;  // in place
        simt::Launcher launcher(seed);
        launch_activation_backward(launcher, n, activation, y.data(), dx.data(), dx.data());
        const Numbers expected = reference_activation_backward(activation, y, dy);
        check_close(dx, expected, kTolerance, kTolerance);
      }
    }
  }
}

TEST_CASE("bias_activation: the bias gradient's kernels agree with the reference") {
  // Planes of one element; planes in whole groups of four, aligned and not; broken planes; planes longer than
  // a block's threads take at a time; batches and channels of one.
  for (const BiasShape& shape :
       {BiasShape{1, 1, 1}, BiasShape{65, 10, 1}, BiasShape{33, 33, 1}, BiasShape{3, 2, 196},
        BiasShape{70, 3, 49}, BiasShape{2, 2, 4}, BiasShape{5, 3, 2}, BiasShape{1, 2, 9001},
        BiasShape{3, 1, 4096}, BiasShape{0, 2, 8}}) {
    for (const std::size_t offset : {0u, 1u}) {
      Placed dy(random_values<float>(count(shape), 5), offset);
      const Numbers expected = reference_bias_gradient(shape, to_f64(dy.values()));
      std::vector<float> first;
      for (const std::uint64_t seed : simt::seeds()) {
        CAPTURE(seed, shape.batch, shape.channels, shape.inner, offset);
        std::vector<float> db(static_cast<std::size_t>(shape.channels), -7.0f);
        simt::Launcher launcher(seed);
        launch_bias_gradient(launcher, shape, dy.data(), db.data());
        // Each thread adds at most some tens of f32 numbers below 1.
        check_close(db, expected, 1.2e-7, 1e-5);
        if (first.empty()) first = db;
        CHECK(db == first);  // the order is fixed by the shape
      }
    }
  }
}
