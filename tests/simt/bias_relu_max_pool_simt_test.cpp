#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/bias_activation/bias_activation.cuh"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.cuh"
#include "kernels/max_pool2d/max_pool2d.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/numbers.h"
#include "tests/support/pool_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (!both_nan && (a[i] != b[i] || std::signbit(a[i]) != std::signbit(b[i]))) return false;
  }
  return true;
}

// Against f64 sums of dx. A thread adds up to 16 numbers in f32, all else is f64.
void check_bias_gradient(const BiasShape& shape, const std::vector<float>& dx, const std::vector<float>& db) {
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    double expected = 0, magnitude = 0;
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      for (std::int64_t i = 0; i < shape.inner; ++i) {
        const double term = dx[static_cast<std::size_t>((n * shape.channels + c) * shape.inner + i)];
        expected += term;
        magnitude += std::abs(term);
      }
    }
    CAPTURE(c);
    CHECK(std::abs(db[static_cast<std::size_t>(c)] - expected) <= 16 * 0x1p-24 * magnitude);
  }
}

}  // namespace

TEST_CASE("bias_relu_max_pool: values and gradients are those of the separate kernels, bit for bit") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const MaxPool2dShape& shape : kPoolShapes) {
      for (const bool with_nan : {false, true}) {
        CAPTURE(seed, shape.batch, shape.channels, shape.in_height, shape.in_width, shape.window, with_nan);
        const std::vector<float> x = images_with_ties(shape, with_nan);
        // Biases that make ties of sums, sums of zero and, the last channel's, whole windows where nothing
        // passes.
        std::vector<float> bias;
        for (std::int64_t c = 0; c < shape.channels; ++c)
          bias.push_back(c + 1 == shape.channels ? -2.0f : 1e-3f);
        const BiasShape flat{shape.batch, shape.channels, shape.in_height * shape.in_width};
        const auto dy = random_values<float>(outputs(shape), 3);
        std::vector<float> activated(x.size()), y(dy.size()), dx(x.size()), d_activated(x.size());
        std::vector<std::uint8_t> choice(dy.size());
        simt::Launcher launcher(seed);
        launch_bias_activation_forward(launcher, flat, Activation::relu, x.data(), bias.data(),
                                       activated.data());
        launch_max_pool2d_forward(launcher, shape, activated.data(), y.data(), choice.data());
        launch_max_pool2d_backward(launcher, shape, dy.data(), choice.data(), d_activated.data());
        launch_activation_backward(launcher, inputs(shape), Activation::relu, activated.data(),
                                   d_activated.data(), dx.data());

        std::vector<float> fused_y(y.size(), -7.0f), fused_dx(x.size(), -7.0f);
        std::vector<std::uint8_t> fused_choice(y.size(), 99);
        launch_bias_relu_max_pool_forward(launcher, shape, x.data(), bias.data(), fused_y.data(),
                                          fused_choice.data());
        std::vector<float> db(bias.size(), -7.0f), no_db_dx(x.size(), -7.0f);
        std::vector<double> partials(static_cast<std::size_t>(pool_backward_partials(shape)));
        launch_bias_relu_max_pool_backward(launcher, shape, dy.data(), fused_choice.data(), fused_dx.data(),
                                           db.data(), partials.data());
        launch_bias_relu_max_pool_backward(launcher, shape, dy.data(), fused_choice.data(), no_db_dx.data(),
                                           nullptr, nullptr);
        CHECK(same_bits(no_db_dx, fused_dx));
        check_bias_gradient(flat, dx, db);
        CHECK(same_bits(fused_y, y));
        CHECK(same_bits(fused_dx, dx));
        for (std::size_t i = 0; i < y.size(); ++i) {
          const int expected = y[i] == 0 ? kNothingPassed : choice[i];
          if (fused_choice[i] != expected) {
            CAPTURE(i, y[i], int{fused_choice[i]}, expected);
            FAIL_CHECK("another choice than the separate kernels'");
          }
        }
      }
    }
  }
}
