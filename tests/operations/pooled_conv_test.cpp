#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "kernels/conv2d/conv2d.h"
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

// Blocks of outputs and of tiles that are not full, inputs that fill no group or several stages, rows left
// over, rows in two blocks; in the last, many tiles a block.
const Conv2dShape kWinogradConvs[] = {{2, 5, 6, 6, 50, 3, 3, 1, 1},
                                      {1, 33, 7, 10, 100, 3, 3, 1, 1},
                                      {3, 32, 14, 14, 64, 3, 3, 1, 1},
                                      {1, 70, 3, 2, 64, 3, 3, 1, 1},
                                      {152, 18, 6, 14, 43, 3, 3, 1, 1}};

// Ten seconds each under some orders of threads, and no block knows another.
std::int64_t work(const PooledConvCase& test) {
  return test.conv.batch > 50 || test.w.size() >= 1000 ? kOneOrder : 1;
}
// Of a forward pass alone: all orders for one with several stages too.
std::int64_t forward_work(const PooledConvCase& test) {
  return test.conv.in_height < 4 && test.conv.batch == 1 ? 1 : work(test);
}

struct ForwardResult {
  std::vector<float> y;
  std::vector<std::uint8_t> choice;
};

template <class D>
ForwardResult forward(D& device, const PooledConvCase& test) {
  const PooledConvShape shape = pooled_conv_shape(test.conv, 2);
  const auto count = static_cast<std::int64_t>(test.dy.size());
  const auto x = device.array(test.x), w = device.array(test.w), bias = device.array(test.bias);
  const auto y = device.template unwritten<float>(count);
  const auto choice = device.template unwritten<std::uint8_t>(count, 99);
  const auto transformed =
      device.unwritten(pooled_conv_transformed(shape), std::numeric_limits<float>::quiet_NaN());
  pooled_conv_forward(device.context, shape, x.data(), w.data(), bias.data(), y.data(), choice.data(),
                      transformed.data());
  return {y.values(), choice.values()};
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
  std::vector<Conv2dShape> all = shapes();
  all.insert(all.end(), std::begin(kWinogradConvs), std::end(kWinogradConvs));
  Devices devices;
  for (const Conv2dShape& conv : all) {
    if (!has_pooled_conv_forward(conv, 2)) continue;
    const PooledConvCase test(conv);
    CAPTURE(test.text());
    devices.each_gpu(forward_work(test), [&](auto& device) {
      const ForwardResult result = forward(device, test), again = forward(device, test);
      test.check_forward(result.y, result.choice);
      CHECK(same_bits(result.y, again.y));
      CHECK(result.choice == again.choice);
    });
  }
}

// Quarters of whole numbers are the smallest parts that occur, so that every result is exact, the first of
// equal maxima included.
TEST_CASE("pooled_conv: Winograd's tiles give the reference's values and places on whole numbers") {
  Devices devices;
  for (const Conv2dShape& conv : kWinogradConvs) {
    REQUIRE(has_pooled_conv_forward(conv, 2));
    PooledConvCase test(conv);
    test.x = random_integers<float>(input_count(conv), 11);
    test.w = random_integers<float>(weight_count(conv), 12);
    test.bias = random_integers<float>(conv.out_channels, 13);
    const std::vector<double> z = reference_conv(conv, to_f64(test.x), to_f64(test.w), to_f64(test.bias));
    ForwardResult expected;
    const std::int64_t oh = conv.in_height / 2, ow = conv.in_width / 2;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(test.dy.size()); ++i) {
      double best = 0;
      std::uint8_t choice = kNothingPassed;
      for (std::int64_t place = 0; place < 4; ++place) {
        const std::int64_t row = i / (oh * ow) * conv.in_height + i / ow % oh * 2 + place / 2;
        const double value = z[static_cast<std::size_t>(row * conv.in_width + i % ow * 2 + place % 2)];
        if (value <= best) continue;
        best = value;
        choice = static_cast<std::uint8_t>(place);
      }
      expected.y.push_back(static_cast<float>(best));
      expected.choice.push_back(choice);
    }
    CAPTURE(test.text());
    devices.each_gpu(forward_work(test), [&](auto& device) {
      const ForwardResult result = forward(device, test);
      CHECK(result.y == expected.y);
      CHECK(result.choice == expected.choice);
    });
  }
}

// As the CPU's (tests/kernels/winograd_forward_test.cpp): chains of roundings are nine times shorter than the
// direct sum's, which outweighs that terms are sums of up to four inputs and weights.
TEST_CASE("pooled_conv: Winograd's errors against f64 are no larger than those of the direct sum") {
  const Conv2dShape conv{2, 32, 14, 14, 64, 3, 3, 1, 1};
  PooledConvCase test(conv);
  test.bias.assign(test.bias.size(), 0.0f);
  const std::vector<double> z = reference_conv(conv, to_f64(test.x), to_f64(test.w), to_f64(test.bias));
  CpuContext context(1);
  std::vector<float> direct(z.size());
  make_plain_conv2d<float>(context, conv)
      ->forward(test.x.data(), test.w.data(), test.bias.data(), direct.data());
  Devices devices;
  devices.each_gpu(kOneOrder, [&](auto& device) {
    const ForwardResult result = forward(device, test);
    double squares = 0, squares_direct = 0;
    int passed = 0;
    for (std::size_t i = 0; i < result.y.size(); ++i) {
      if (result.choice[i] == kNothingPassed) continue;
      const std::size_t window = i % 49, row = 2 * (window / 7) + result.choice[i] / 2u,
                        at = i / 49 * 196 + 14 * row + 2 * (window % 7) + result.choice[i] % 2u;
      squares += std::pow(result.y[i] - z[at], 2);
      squares_direct += std::pow(direct[at] - z[at], 2);
      ++passed;
    }
    CAPTURE(squares, squares_direct);
    CHECK(passed > 5000);  // of 6,272 windows 15 in 16 have an output above zero
    CHECK(squares <= squares_direct);
  });
}

TEST_CASE(
    "pooled_conv: an image's forward bits do not depend on the images beside it, nor on a block's tiles") {
  const Conv2dShape conv = std::end(kWinogradConvs)[-1];
  const PooledConvCase all(conv);
  Conv2dShape one_conv = conv;
  one_conv.batch = 1;
  PooledConvCase one(one_conv);
  const auto images = static_cast<std::ptrdiff_t>(conv.batch);
  const auto last = [&](const auto& values) {
    const auto size = static_cast<std::ptrdiff_t>(values.size());
    return std::decay_t<decltype(values)>(values.begin() + size - size / images, values.end());
  };
  one.x = last(all.x);
  one.w = all.w;
  one.bias = all.bias;
  CHECK(winograd_tiles_of_block(pooled_conv_shape(conv, 2)) == kWinogradManyTiles);
  CHECK(winograd_tiles_of_block(pooled_conv_shape(one_conv, 2)) == kWinogradFewTiles);
  Devices devices;
  devices.each_gpu(kOneOrder, [&](auto& device) {
    const ForwardResult among = forward(device, all), alone = forward(device, one);
    CHECK(same_bits(last(among.y), alone.y));
    CHECK(last(among.choice) == alone.choice);
  });
}

TEST_CASE(
    "pooled_conv: a NaN in the image reaches the windows beside it, forward and in the gradient of weights") {
  Devices devices;
  for (const Conv2dShape& conv :
       {Conv2dShape{1, 1, 6, 6, 2, 3, 3, 1, 1}, Conv2dShape{1, 5, 6, 6, 43, 3, 3, 1, 1}}) {
    PooledConvCase test(conv);
    test.x[2 * 6 + 2] = std::numeric_limits<float>::quiet_NaN();
    const PooledConvShape shape = pooled_conv_shape(conv, 2);
    CAPTURE(test.text());
    devices.each_gpu(1, [&](auto& device) {
      const ForwardResult result = forward(device, test);
      for (std::size_t i = 0; i < result.y.size(); ++i) {
        CAPTURE(i);
        CHECK(std::isnan(result.y[i]) == (i % 9 == 0 || i % 9 == 1 || i % 9 == 3 || i % 9 == 4));
      }
      const auto x = device.array(test.x), dy = device.array(test.dy);
      const auto choice = device.array(result.choice);
      const auto dw = device.template unwritten<float>(static_cast<std::int64_t>(test.w.size()));
      const auto db = device.template unwritten<float>(conv.out_channels);
      const auto partials = device.template unwritten<float>(pooled_conv_partials(shape));
      pooled_conv_weights(device.context, shape, x.data(), dy.data(), choice.data(), dw.data(), db.data(),
                          partials.data());
      // The last NaN of a window's four outputs passes, so each window meets the NaN with some weight.
      CHECK(std::isnan(dw.values()[0]));
    });
  }
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
  CHECK(has_pooled_conv_forward({2, 5, 8, 8, 64, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_forward({2, 5, 8, 8, 42, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_forward({2, 5, 8, 7, 64, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_forward({2, 3, 64, 64, 4, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_weights({2, 5, 8, 100, 4, 3, 3, 1, 1}, 2));
  CHECK_FALSE(has_pooled_conv_data({2, 5, 8, 100, 4, 3, 3, 1, 1}, 2));
}
