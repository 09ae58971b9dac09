// The convolution blocks' own kernels on the GPU; elsewhere there are none.
#include "base/build_config.h"
#include "engine/context.h"

#if QMSE_CUDA

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "base/error.h"
#include "kernels/conv_block/conv_block.h"
#include "tests/gpu/device.h"
#include "tests/support/pooled_conv_cases.h"

using namespace qmse;
using namespace qmse::test;

TEST_CASE("plans: blocks take their own kernels where there are such, and cuDNN's where it is asked for",
          "[plans]") {
  const auto own = device_context(), library = device_context(false, true);
  if (!own || !library) return;
  const ConvBlockShape first{{2, 1, 8, 8, 8, 3, 3, 1, 1}, 2}, second{{2, 8, 8, 8, 8, 3, 3, 1, 1}, 2},
      other{{2, 8, 8, 8, 8, 5, 5, 2, 1}, 2};
  const auto algorithm = [](Context& context, const ConvBlockShape& shape, BackwardNeeds needs) {
    return std::string(make_conv_block(backend(context), Precision<float>(), shape, needs)->algorithm());
  };
  CHECK(algorithm(*own, first, {.data = false}) == "own fp32 forward, weights");
  CHECK(algorithm(*own, second, {}).find("own fp32 data, weights; cuDNN fp32 forward") == 0);
  CHECK(algorithm(*own, other, {}).find("cuDNN") == 0);
  CHECK(algorithm(*library, first, {.data = false}).find("cuDNN") == 0);
  const auto evaluating =
      make_conv_block(backend(*own), Precision<float>(), first, {.data = false, .weights = false});
  CHECK_THROWS_AS(evaluating->backward(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
                  std::logic_error);
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
      const auto block = make_conv_block(device, Precision<float>(), ConvBlockShape{conv, 2});
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

#endif
