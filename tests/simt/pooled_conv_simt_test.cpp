#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/pooled_conv/pooled_conv.cuh"
#include "kernels/pooled_conv/pooled_conv_shape.h"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"
#include "tests/support/pooled_conv_cases.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("pooled_conv: gradients are those of the dense convolution in f64") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const Conv2dShape& conv : kPooledConvs) {
      if (conv.batch > 50 && seed != simt::seeds()[0])
        continue;  // ten seconds each, and no block knows another
      const PooledConvCase test(conv);
      const PooledConvShape shape = pooled_conv_shape(conv, 2);
      CAPTURE(seed, test.text());
      simt::Launcher launcher(seed);
      std::vector<float> dw(test.w.size(), -7.0f), db(static_cast<std::size_t>(conv.out_channels), -7.0f),
          dx(test.x.size(), -7.0f),
          partials(static_cast<std::size_t>(pooled_conv_partials(shape)),
                   std::numeric_limits<float>::quiet_NaN());
      REQUIRE(has_pooled_conv_weights(conv, 2));
      launch_pooled_conv_weights(launcher, shape, test.x.data(), test.dy.data(), test.choice.data(),
                                 dw.data(), db.data(), partials.data());
      test.check_weights(dw, db);
      REQUIRE(has_pooled_conv_data(conv, 2));
      launch_pooled_conv_data(launcher, shape, test.w.data(), test.dy.data(), test.choice.data(), dx.data());
      test.check_data(dx);
    }
  }
}

TEST_CASE("pooled_conv: the forward pass is convolution, bias, ReLU and max-pool in f64") {
  for (const std::uint64_t seed : simt::seeds()) {
    for (const Conv2dShape& conv : kPooledConvs) {
      if (!has_pooled_conv_forward(conv, 2)) continue;
      const PooledConvCase test(conv);
      CAPTURE(seed, test.text());
      simt::Launcher launcher(seed);
      std::vector<float> y(test.dy.size(), -7.0f);
      std::vector<std::uint8_t> choice(y.size(), 99);
      launch_pooled_conv_forward(launcher, pooled_conv_shape(conv, 2), test.x.data(), test.w.data(),
                                 test.bias.data(), y.data(), choice.data());
      test.check_forward(y, choice);
    }
  }
}

TEST_CASE(
    "pooled_conv: a NaN in the image reaches the windows beside it, forward and in the gradient of weights") {
  const Conv2dShape conv{1, 1, 6, 6, 2, 3, 3, 1, 1};
  PooledConvCase test(conv);
  test.x[2 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();
  simt::Launcher launcher(1);
  std::vector<float> y(test.dy.size()), dw(test.w.size()), db(2), partials(100);
  std::vector<std::uint8_t> choice(y.size());
  const PooledConvShape shape = pooled_conv_shape(conv, 2);
  launch_pooled_conv_forward(launcher, shape, test.x.data(), test.w.data(), test.bias.data(), y.data(),
                             choice.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    CAPTURE(i);
    CHECK(std::isnan(y[i]) == (i % 9 == 0 || i % 9 == 1 || i % 9 == 3 || i % 9 == 4));
  }
  REQUIRE(pooled_conv_partials(shape) <= 100);
  launch_pooled_conv_weights(launcher, shape, test.x.data(), test.dy.data(), choice.data(), dw.data(),
                             db.data(), partials.data());
  // The last NaN of a window's four outputs passes, so each window meets the NaN with some weight.
  CHECK(std::isnan(dw[0]));
}

TEST_CASE("pooled_conv: other kernels, windows and images too large for a block are left to the library") {
  const Conv2dShape good{2, 3, 8, 8, 4, 3, 3, 1, 1};
  CHECK(has_pooled_conv_forward(good, 2));
  for (const Conv2dShape& bad :
       {Conv2dShape{2, 3, 8, 8, 4, 5, 5, 1, 1}, Conv2dShape{2, 3, 8, 8, 4, 3, 3, 0, 1},
        Conv2dShape{2, 3, 8, 8, 4, 3, 3, 1, 2}, Conv2dShape{2, 3, 1, 8, 4, 3, 3, 1, 1}}) {
    CHECK_FALSE(has_pooled_conv_forward(bad, 2));
    CHECK_FALSE(has_pooled_conv_weights(bad, 2));
    CHECK_FALSE(has_pooled_conv_data(bad, 2));
    CHECK_THROWS_AS(pooled_conv_shape(bad, 2), ShapeError);
  }
  CHECK_FALSE(has_pooled_conv_weights(good, 3));
  CHECK_FALSE(has_pooled_conv_forward({2, 5, 8, 8, 4, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_forward({2, 3, 64, 64, 4, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_weights({2, 5, 8, 100, 4, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_data({2, 5, 8, 100, 4, 3, 3, 1, 1}, 2));
}
