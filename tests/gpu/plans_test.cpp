// Convolutions, fully connected layers and the fused block against f64 references.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/linear/linear.h"
#include "tests/gpu/device.h"
#include "tests/support/conv_references.h"
#include "tests/support/linear_reference.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// Of the sum of the products' magnitudes. f32: sums of some hundred terms in unknown order, and transforms
// (Winograd, FFT) that add a few roundings of intermediate values; TF32: factors rounded to 11 bits.
constexpr double kF32 = 64 * 0x1p-24;
constexpr double kTf32 = 0x1p-9;

// {batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}: the
// network's layers, then odd sizes.
const Conv2dShape kConvolutions[] = {{3, 1, 28, 28, 32, 3, 3, 1, 1}, {64, 32, 14, 14, 64, 3, 3, 1, 1},
                                     {2, 3, 32, 32, 32, 3, 3, 1, 1}, {17, 2, 7, 9, 5, 3, 3, 1, 1},
                                     {3, 5, 8, 7, 9, 3, 3, 0, 1},    {1, 16, 6, 6, 8, 1, 1, 0, 1},
                                     {3, 8, 9, 5, 16, 5, 5, 2, 1},   {17, 17, 5, 6, 33, 2, 2, 1, 1},
                                     {1, 1, 1, 1, 1, 1, 1, 0, 1},    {3, 4, 9, 9, 8, 2, 2, 0, 2}};

const LinearShape kLinears[] = {{64, 3136, 128, Activation::relu},   {64, 128, 10, Activation::identity},
                                {33, 128, 10, Activation::identity}, {1, 1, 1, Activation::relu},
                                {1, 257, 33, Activation::relu},      {7, 130, 1, Activation::identity},
                                {5, 1, 70, Activation::relu},        {13, 31, 17, Activation::relu}};

std::string text(const Conv2dShape& s) {
  std::string t;
  for (const std::int64_t v : {s.batch, s.in_channels, s.in_height, s.in_width, s.out_channels,
                               s.kernel_height, s.kernel_width, s.padding, s.stride}) {
    t += std::to_string(v) + " ";
  }
  return t;
}

void check_convolutions(bool tf32, double tolerance) {
  const auto context = device_context(tf32);
  if (!context) return;
  Backend& device = backend(*context);
  for (const Conv2dShape& s : kConvolutions) {
    const auto x = random_values<float>(input_count(s), 1), w = random_values<float>(weight_count(s), 2),
               bias = random_values<float>(s.out_channels, 3), dy = random_values<float>(output_count(s), 4);
    const auto plan = make_conv2d(device, Precision<float>(), s);
    CAPTURE(text(s), plan->algorithm());
    const OnDevice<float> dx_there = unwritten<float>(device, input_count(s)),
                          dw_there = unwritten<float>(device, weight_count(s)),
                          db_there = unwritten<float>(device, s.out_channels),
                          y_there = unwritten<float>(device, output_count(s)), x_there(device, x),
                          w_there(device, w), bias_there(device, bias), dy_there(device, dy);
    plan->forward(x_there.data(), w_there.data(), bias_there.data(), y_there.data());
    plan->backward_weights(x_there.data(), dy_there.data(), dw_there.data(), db_there.data());
    plan->backward_data(w_there.data(), dy_there.data(), dx_there.data());
    check_sums(y_there.values(), reference_conv(s, to_f64(x), to_f64(w), to_f64(bias)),
               reference_conv(s, magnitudes(x), magnitudes(w), magnitudes(bias)), tolerance);
    const ConvGradients expected = reference_conv_backward(s, to_f64(x), to_f64(w), to_f64(dy)),
                        magnitude = reference_conv_backward(s, magnitudes(x), magnitudes(w), magnitudes(dy));
    check_sums(dx_there.values(), expected.dx, magnitude.dx, tolerance);
    check_sums(dw_there.values(), expected.dw, magnitude.dw, tolerance);
    check_sums(db_there.values(), expected.db, magnitude.db, kF32);
  }
}

void check_linears(bool tf32, bool library, double tolerance) {
  const auto context = device_context(tf32, library);
  if (!context) return;
  Backend& device = backend(*context);
  for (const LinearShape& s : kLinears) {
    const auto x = random_values<float>(s.batch * s.in_features, 1),
               w = random_values<float>(s.out_features * s.in_features, 2),
               bias = random_values<float>(s.out_features, 3),
               dy = random_values<float>(s.batch * s.out_features, 4);
    const auto plan = make_linear(device, Precision<float>(), s);
    CAPTURE(s.batch, s.in_features, s.out_features, plan->algorithm());
    const OnDevice<float> x_there(device, x), w_there(device, w), bias_there(device, bias),
        dy_there(device, dy);
    const auto y_there = unwritten<float>(device, s.batch * s.out_features),
               dx_there = unwritten<float>(device, s.batch * s.in_features),
               dw_there = unwritten<float>(device, s.out_features * s.in_features),
               db_there = unwritten<float>(device, s.out_features);
    plan->forward(x_there.data(), w_there.data(), bias_there.data(), y_there.data());
    plan->backward(x_there.data(), w_there.data(), y_there.data(), dy_there.data(), dx_there.data(),
                   dw_there.data(), db_there.data());
    const std::vector<float> y = y_there.values();
    const LinearReference expected = reference_linear(s, to_f64(x), to_f64(w), to_f64(bias), to_f64(dy), y);
    const LinearReference magnitude =
        reference_linear(s, magnitudes(x), magnitudes(w), magnitudes(bias), magnitudes(dy), y);
    check_sums(y, expected.y, magnitude.y, tolerance);
    check_sums(dx_there.values(), expected.dx, magnitude.dx, tolerance);
    check_sums(dw_there.values(), expected.dw, magnitude.dw, tolerance);
    // In the product's epilogue the sums may be of factors rounded to TF32.
    check_sums(db_there.values(), expected.db, magnitude.db, tolerance);
  }
}

}  // namespace

TEST_CASE("plans: convolutions agree with f64", "[plans]") { check_convolutions(false, kF32); }
TEST_CASE("plans: convolutions in TF32 agree with f64", "[plans]") { check_convolutions(true, kTf32); }
TEST_CASE("plans: fully connected layers agree with f64", "[plans]") { check_linears(false, false, kF32); }
TEST_CASE("plans: fully connected layers by the library agree with f64", "[plans]") {
  check_linears(false, true, kF32);
}
TEST_CASE("plans: fully connected layers in TF32 agree with f64", "[plans]") {
  check_linears(true, true, kTf32);
}

TEST_CASE("plans: a fully connected layer without a bias runs as planned with one", "[plans]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const LinearShape& s : kLinears) {
    const auto x = random_values<float>(s.batch * s.in_features, 1),
               w = random_values<float>(s.out_features * s.in_features, 2);
    const Numbers no_bias(static_cast<std::size_t>(s.out_features), 0.0);
    const Numbers no_dy(static_cast<std::size_t>(s.batch * s.out_features), 0.0);
    const OnDevice<float> x_there(device, x), w_there(device, w);
    const auto y_there = unwritten<float>(device, s.batch * s.out_features);
    const auto plan = make_linear(device, Precision<float>(), s);
    CAPTURE(s.batch, s.in_features, s.out_features, plan->algorithm());
    plan->forward(x_there.data(), w_there.data(), nullptr, y_there.data());
    const std::vector<float> y = y_there.values();
    check_sums(y, reference_linear(s, to_f64(x), to_f64(w), no_bias, no_dy, y).y,
               reference_linear(s, magnitudes(x), magnitudes(w), no_bias, no_dy, y).y, kF32);
  }
}

TEST_CASE("plans: where memory is short, layers are planned with less workspace", "[plans]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  const Conv2dShape conv{64, 32, 14, 14, 64, 3, 3, 1, 1};
  const LinearShape linear{64, 3136, 128, Activation::relu};
  // What the trials' own buffers need, and 8 MiB for the context and a workspace: with plenty, an H100 takes
  // 14 MiB for the gradient of this convolution's weights, and its smallest deterministic algorithm 5.
  const std::int64_t values = input_count(conv) + weight_count(conv) + output_count(conv);
  device.memory().set_limit(static_cast<std::size_t>(values) * sizeof(float) + (std::size_t{8} << 20));
  CHECK_NOTHROW(make_conv2d(device, Precision<float>(), conv));
  CHECK_NOTHROW(make_linear(device, Precision<float>(), linear));
  device.memory().set_limit(1 << 16);  // less than the layer itself
  if (kOnGpu)
    CHECK_THROWS_AS(make_conv2d(device, Precision<float>(), {65, 32, 14, 14, 64, 3, 3, 1, 1}), Error);
}

TEST_CASE("plans: a NaN passes ReLU, so that it is noticed", "[plans]") {
  const bool library = GENERATE(false, true);
  const auto context = device_context(false, library);
  if (!context) return;
  CAPTURE(library);
  Backend& device = backend(*context);
  const LinearShape s{4, 8, 8, Activation::relu};
  auto x = random_values<float>(32, 1);
  x[9] = NAN;
  const OnDevice<float> x_there(device, x), w(device, random_values<float>(64, 2)),
      bias(device, random_values<float>(8, 3));
  const auto y_there = unwritten<float>(device, 32);
  make_linear(device, Precision<float>(), s)->forward(x_there.data(), w.data(), bias.data(), y_there.data());
  const std::vector<float> y = y_there.values();
  for (std::size_t i = 0; i < y.size(); ++i) {
    CAPTURE(i, y[i]);
    CHECK(std::isnan(y[i]) == (i / 8 == 1));
  }
}

TEST_CASE("plans: a gradient that was not planned is refused", "[plans]") {
  if (!kOnGpu) return;  // on the CPU nothing has to be left out
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  const auto conv =
      make_conv2d(device, Precision<float>(), kConvolutions[0], {.data = false, .weights = false});
  CHECK_THROWS_AS(conv->backward_data(nullptr, nullptr, nullptr), std::logic_error);
  CHECK_THROWS_AS(conv->backward_weights(nullptr, nullptr, nullptr, nullptr), std::logic_error);
  const auto linear = make_linear(device, Precision<float>(), kLinears[0], {.data = false, .weights = false});
  CHECK_THROWS_AS(linear->backward(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
                  std::logic_error);
}

TEST_CASE("plans: the fused block is convolution, bias, ReLU and max-pool one after the other", "[plans]") {
  const auto context = device_context(false, true);
  if (!context) return;
  Backend& device = backend(*context);
  for (const ConvBlockShape& s :
       {ConvBlockShape{{3, 1, 28, 28, 32, 3, 3, 1, 1}, 2},
        ConvBlockShape{{70, 32, 14, 14, 64, 3, 3, 1, 1}, 2}, ConvBlockShape{{17, 2, 7, 9, 5, 3, 3, 1, 1}, 2},
        ConvBlockShape{{3, 5, 8, 7, 9, 3, 3, 0, 1}, 3}, ConvBlockShape{{1, 16, 6, 6, 8, 1, 1, 0, 1}, 1}}) {
    CAPTURE(text(s.conv), s.window);
    const MaxPool2dShape pool = s.pool();
    const std::int64_t pooled = pool.batch * pool.channels * pool.out_height() * pool.out_width();
    const std::int64_t convolved = output_count(s.conv);
    const auto dy = random_values<float>(pooled, 4);
    const OnDevice<float> x(device, random_values<float>(input_count(s.conv), 1)),
        w(device, random_values<float>(weight_count(s.conv), 2)),
        bias(device, random_values<float>(s.conv.out_channels, 3)), dy_there(device, dy);
    const auto y = unwritten<float>(device, pooled), dx = unwritten<float>(device, input_count(s.conv)),
               dw = unwritten<float>(device, weight_count(s.conv)),
               db = unwritten<float>(device, s.conv.out_channels);
    const auto block = make_conv_block(device, Precision<float>(), s);
    block->forward(x.data(), w.data(), bias.data(), y.data());
    block->backward(x.data(), w.data(), dy_there.data(), dx.data(), dw.data(), db.data());

    const auto z = unwritten<float>(device, convolved), dz = unwritten<float>(device, convolved),
               y2 = unwritten<float>(device, pooled), dx2 = unwritten<float>(device, input_count(s.conv)),
               dw2 = unwritten<float>(device, weight_count(s.conv));
    const auto choice = unwritten<std::uint8_t>(device, pooled);
    const BiasShape planes{s.conv.batch, s.conv.out_channels, s.conv.out_height() * s.conv.out_width()};
    const auto conv = make_conv2d(device, Precision<float>(), s.conv);
    conv->forward(x.data(), w.data(), nullptr, z.data());
    bias_activation_forward(device, planes, Activation::relu, z.data(), bias.data(), z.data());
    max_pool2d_forward(device, pool, z.data(), y2.data(), choice.data());
    max_pool2d_backward(device, pool, dy_there.data(), choice.data(), dz.data());
    activation_backward(device, convolved, Activation::relu, z.data(), dz.data(), dz.data());
    conv->backward_weights(x.data(), dz.data(), dw2.data(), nullptr);
    conv->backward_data(w.data(), dz.data(), dx2.data());
    CHECK(y.values() == y2.values());
    CHECK(dx.values() == dx2.values());
    CHECK(dw.values() == dw2.values());
    const std::vector<float> gradient = dz.values();
    check_sums(db.values(), reference_bias_gradient(planes, to_f64(gradient)),
               reference_bias_gradient(planes, magnitudes(gradient)), kF32);
  }
}
