// The convolution blocks' own kernels on the GPU; elsewhere there are none.
#include "base/build_config.h"
#include "engine/context.h"

#if QMSE_CUDA

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/error.h"
#include "kernels/conv_block/conv_block.h"
#include "kernels/narrow_linear/narrow_linear.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_shape.h"
#include "tests/gpu/device.h"
#include "tests/support/linear_reference.h"
#include "tests/support/pooled_conv_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// What the three kernels give. Written twice over what was there, so that nothing of it can be left.
struct Results {
  std::vector<float> y, dw, db, dx;
  std::vector<std::uint8_t> choice;
};
Results run(CudaContext& device, const PooledConvCase& test) {
  const PooledConvShape s = pooled_conv_shape(test.conv, 2);
  const OnDevice<float> x(device, test.x), w(device, test.w), bias(device, test.bias), dy(device, test.dy);
  const OnDevice<std::uint8_t> choice(device, test.choice);
  const auto y = unwritten<float>(device, static_cast<std::int64_t>(test.dy.size())),
             dw = unwritten<float>(device, static_cast<std::int64_t>(test.w.size())),
             db = unwritten<float>(device, test.conv.out_channels),
             dx = unwritten<float>(device, static_cast<std::int64_t>(test.x.size())),
             partials =
                 unwritten<float>(device, pooled_conv_partials(s), std::numeric_limits<float>::quiet_NaN());
  const auto chosen = unwritten<std::uint8_t>(device, static_cast<std::int64_t>(test.dy.size()), 77);
  if (has_pooled_conv_forward(test.conv, 2)) {
    pooled_conv_forward(device, s, x.data(), w.data(), bias.data(), y.data(), chosen.data());
  }
  pooled_conv_weights(device, s, x.data(), dy.data(), choice.data(), dw.data(), db.data(), partials.data());
  pooled_conv_data(device, s, w.data(), dy.data(), choice.data(), dx.data());
  return {y.values(), dw.values(), db.values(), dx.values(), chosen.values()};
}

}  // namespace

TEST_CASE("pooled convolution: all passes agree with f64, with the same bits twice", "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  std::vector<Conv2dShape> shapes(std::begin(kPooledConvs), std::end(kPooledConvs));
  // The network's.
  for (const Conv2dShape& conv :
       {Conv2dShape{3, 1, 28, 28, 32, 3, 3, 1, 1}, Conv2dShape{2, 32, 14, 14, 64, 3, 3, 1, 1},
        Conv2dShape{2, 3, 32, 32, 32, 3, 3, 1, 1}, Conv2dShape{2, 32, 16, 16, 64, 3, 3, 1, 1}}) {
    shapes.push_back(conv);
  }
  for (const Conv2dShape& conv : shapes) {
    const PooledConvCase test(conv);
    CAPTURE(test.text());
    const Results results = run(backend(*context), test), again = run(backend(*context), test);
    if (has_pooled_conv_forward(conv, 2)) test.check_forward(results.y, results.choice);
    test.check_weights(results.dw, results.db);
    test.check_data(results.dx);
    CHECK(results.y == again.y);
    CHECK(results.choice == again.choice);
    CHECK(results.dw == again.dw);
    CHECK(results.db == again.db);
    CHECK(results.dx == again.dx);
  }
}

TEST_CASE("plans: blocks take their own kernels where there are such, and cuDNN's where it is asked for",
          "[plans]") {
  const auto own = device_context(), library = device_context(false, true);
  if (!own || !library) return;
  const ConvBlockShape first{{2, 1, 8, 8, 8, 3, 3, 1, 1}, 2}, second{{2, 8, 8, 8, 8, 3, 3, 1, 1}, 2},
      other{{2, 8, 8, 8, 8, 5, 5, 2, 1}, 2};
  const auto algorithm = [](Context& context, const ConvBlockShape& shape, BackwardNeeds needs) {
    return std::string(make_conv_block<float>(backend(context), shape, needs)->algorithm());
  };
  CHECK(algorithm(*own, first, {.data = false}) == "own fp32 forward, weights");
  CHECK(algorithm(*own, second, {}).find("own fp32 data, weights; cuDNN fp32 forward") == 0);
  CHECK(algorithm(*own, other, {}).find("cuDNN") == 0);
  CHECK(algorithm(*library, first, {.data = false}).find("cuDNN") == 0);
  const auto evaluating = make_conv_block<float>(backend(*own), first, {.data = false, .weights = false});
  CHECK_THROWS_AS(evaluating->backward(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr), Error);
}

TEST_CASE("plans: blocks of our own kernels, of the library's and of both agree", "[plans]") {
  const auto own = device_context(), library = device_context(false, true);
  if (!own || !library) return;
  // All by our own; weights by our own; weights by our own, few input channels; all by the library.
  for (const Conv2dShape& conv :
       {Conv2dShape{3, 1, 12, 12, 9, 3, 3, 1, 1}, Conv2dShape{2, 8, 8, 64, 8, 3, 3, 1, 1},
        Conv2dShape{2, 3, 8, 56, 8, 3, 3, 1, 1}, Conv2dShape{2, 6, 4, 100, 3, 3, 3, 1, 1}}) {
    const PooledConvCase test(conv);
    CAPTURE(test.text());
    std::vector<std::vector<float>> results[2];
    for (const bool ours : {false, true}) {
      CudaContext& device = backend(ours ? *own : *library);
      const OnDevice<float> x(device, test.x), w(device, test.w), bias(device, test.bias),
          dy(device, test.dy);
      const auto y = unwritten<float>(device, static_cast<std::int64_t>(test.dy.size())),
                 dw = unwritten<float>(device, static_cast<std::int64_t>(test.w.size())),
                 db = unwritten<float>(device, conv.out_channels),
                 dx = unwritten<float>(device, static_cast<std::int64_t>(test.x.size()));
      const auto block = make_conv_block<float>(device, ConvBlockShape{conv, 2});
      block->forward(x.data(), w.data(), bias.data(), y.data());
      block->backward(x.data(), w.data(), dy.data(), dx.data(), dw.data(), db.data());
      results[ours ? 1 : 0] = {y.values(), dx.values(), dw.values(), db.values()};
      // Without the input's gradient the others are the same.
      const auto dw2 = unwritten<float>(device, static_cast<std::int64_t>(test.w.size())),
                 db2 = unwritten<float>(device, conv.out_channels);
      block->backward(x.data(), w.data(), dy.data(), nullptr, dw2.data(), db2.data());
      CHECK(dw2.values() == dw.values());
      CHECK(db2.values() == db.values());
    }
    for (std::size_t part = 0; part < 4; ++part) {
      CAPTURE(part);
      double largest = 0, worst = 0;
      for (std::size_t i = 0; i < results[0][part].size(); ++i) {
        const double a = results[0][part][i], b = results[1][part][i];
        largest = std::max(largest, std::abs(a));
        worst = std::isnan(a - b) ? INFINITY : std::max(worst, std::abs(a - b));
      }
      CHECK(worst <= 1e-5 * largest);  // f32 sums of up to some thousand terms in other orders
    }
  }
}

TEST_CASE("narrow linear: agrees with f64, with the same bits twice", "[kernels]") {
  const auto context = device_context();
  if (!context) return;
  Backend& device = backend(*context);
  for (const LinearShape& s :
       {LinearShape{64, 128, 10, Activation::identity}, LinearShape{33, 70, 16, Activation::relu},
        LinearShape{1, 1, 1, Activation::relu}}) {
    CAPTURE(s.batch, s.in_features, s.out_features);
    const NarrowLinearShape narrow{s.batch, s.in_features, s.out_features, s.activation};
    const auto x = random_values<float>(s.batch * s.in_features, 1),
               w = random_values<float>(s.out_features * s.in_features, 2),
               bias = random_values<float>(s.out_features, 3),
               dy = random_values<float>(s.batch * s.out_features, 4);
    const OnDevice<float> x_there(device, x), w_there(device, w), bias_there(device, bias),
        dy_there(device, dy);
    std::vector<std::vector<float>> results[2];
    for (auto& result : results) {
      const auto y = unwritten<float>(device, s.batch * s.out_features),
                 dx = unwritten<float>(device, s.batch * s.in_features),
                 dw = unwritten<float>(device, s.out_features * s.in_features),
                 db = unwritten<float>(device, s.out_features);
      narrow_linear_forward(device, narrow, x_there.data(), w_there.data(), bias_there.data(), y.data());
      narrow_linear_backward(device, narrow, x_there.data(), w_there.data(), y.data(), dy_there.data(),
                             dx.data(), dw.data(), db.data());
      result = {y.values(), dx.values(), dw.values(), db.values()};
    }
    CHECK(results[0] == results[1]);
    const std::vector<float>& y = results[0][0];
    const LinearReference expected = reference_linear(s, to_f64(x), to_f64(w), to_f64(bias), to_f64(dy), y);
    const LinearReference size =
        reference_linear(s, magnitudes(x), magnitudes(w), magnitudes(bias), magnitudes(dy), y);
    check_sums(y, expected.y, size.y, 64 * 0x1p-24);
    check_sums(results[0][1], expected.dx, size.dx, 64 * 0x1p-24);
    check_sums(results[0][2], expected.dw, size.dw, 64 * 0x1p-24);
    check_sums(results[0][3], expected.db, size.db, 64 * 0x1p-24);
  }
}

#endif
