#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/pooled_conv/pooled_conv.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_shape.h"
#include "tests/operations/devices.h"
#include "tests/support/pooled_conv_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

std::vector<Conv2dShape> shapes() {
  std::vector<Conv2dShape> all(std::begin(kPooledConvs), std::end(kPooledConvs));
  // The network's.
  for (const Conv2dShape& conv :
       {Conv2dShape{3, 1, 28, 28, 32, 3, 3, 1, 1}, Conv2dShape{2, 32, 14, 14, 64, 3, 3, 1, 1},
        Conv2dShape{2, 3, 32, 32, 32, 3, 3, 1, 1}, Conv2dShape{2, 32, 16, 16, 64, 3, 3, 1, 1}}) {
    all.push_back(conv);
  }
  return all;
}

// Ten seconds each under some orders of threads, and no block knows another.
std::int64_t work(const PooledConvCase& test) {
  return test.conv.batch > 50 || test.w.size() >= 1000 ? kOneOrder : 1;
}

}  // namespace

TEST_CASE("pooled_conv: gradients are those of the dense convolution in f64, with the same bits twice") {
  Devices devices;
  for (const Conv2dShape& conv : shapes()) {
    const PooledConvCase test(conv);
    const PooledConvShape shape = pooled_conv_shape(conv, 2);
    CAPTURE(test.text());
    REQUIRE(has_pooled_conv_weights(conv, 2));
    REQUIRE(has_pooled_conv_data(conv, 2));
    devices.each_gpu(work(test), [&](auto& device) {
      const auto x = device.array(test.x), w = device.array(test.w), dy = device.array(test.dy);
      const auto choice = device.array(test.choice);
      std::vector<std::vector<float>> results[2];
      for (auto& result : results) {  // over what was there, so that nothing of it can be left
        const auto dw = device.template unwritten<float>(static_cast<std::int64_t>(test.w.size()));
        const auto db = device.template unwritten<float>(conv.out_channels);
        const auto dx = device.template unwritten<float>(static_cast<std::int64_t>(test.x.size()));
        const auto partials =
            device.unwritten(pooled_conv_partials(shape), std::numeric_limits<float>::quiet_NaN());
        pooled_conv_weights(device.context, shape, x.data(), dy.data(), choice.data(), dw.data(), db.data(),
                            partials.data());
        pooled_conv_data(device.context, shape, w.data(), dy.data(), choice.data(), dx.data());
        result = {dw.values(), db.values(), dx.values()};
      }
      test.check_weights(results[0][0], results[0][1]);
      test.check_data(results[0][2]);
      CHECK(results[0] == results[1]);
    });
  }
}

TEST_CASE("pooled_conv: the forward pass is convolution, bias, ReLU and max-pool in f64") {
  Devices devices;
  for (const Conv2dShape& conv : shapes()) {
    if (!has_pooled_conv_forward(conv, 2)) continue;
    const PooledConvCase test(conv);
    CAPTURE(test.text());
    devices.each_gpu(work(test), [&](auto& device) {
      const auto x = device.array(test.x), w = device.array(test.w), bias = device.array(test.bias);
      const auto y = device.template unwritten<float>(static_cast<std::int64_t>(test.dy.size()));
      const auto choice =
          device.template unwritten<std::uint8_t>(static_cast<std::int64_t>(test.dy.size()), 99);
      pooled_conv_forward(device.context, pooled_conv_shape(conv, 2), x.data(), w.data(), bias.data(),
                          y.data(), choice.data());
      test.check_forward(y.values(), choice.values());
    });
  }
}

TEST_CASE(
    "pooled_conv: a NaN in the image reaches the windows beside it, forward and in the gradient of weights") {
  const Conv2dShape conv{1, 1, 6, 6, 2, 3, 3, 1, 1};
  PooledConvCase test(conv);
  test.x[2 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();
  const PooledConvShape shape = pooled_conv_shape(conv, 2);
  Devices devices;
  devices.each_gpu(1, [&](auto& device) {
    const auto x = device.array(test.x), w = device.array(test.w), bias = device.array(test.bias),
               dy = device.array(test.dy);
    const auto y_there = device.template unwritten<float>(static_cast<std::int64_t>(test.dy.size()));
    const auto dw = device.template unwritten<float>(static_cast<std::int64_t>(test.w.size()));
    const auto db = device.template unwritten<float>(2);
    const auto partials = device.template unwritten<float>(pooled_conv_partials(shape));
    const auto choice =
        device.template unwritten<std::uint8_t>(static_cast<std::int64_t>(test.dy.size()), 99);
    pooled_conv_forward(device.context, shape, x.data(), w.data(), bias.data(), y_there.data(),
                        choice.data());
    pooled_conv_weights(device.context, shape, x.data(), dy.data(), choice.data(), dw.data(), db.data(),
                        partials.data());
    const std::vector<float> y = y_there.values();
    for (std::size_t i = 0; i < y.size(); ++i) {
      CAPTURE(i);
      CHECK(std::isnan(y[i]) == (i % 9 == 0 || i % 9 == 1 || i % 9 == 3 || i % 9 == 4));
    }
    // The last NaN of a window's four outputs passes, so each window meets the NaN with some weight.
    CHECK(std::isnan(dw.values()[0]));
  });
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
