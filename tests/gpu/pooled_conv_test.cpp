// The convolution blocks' own kernels on the GPU; elsewhere there are none.
#include "engine/context.h"

#if QMSE_CUDA

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/conv_block/conv_block.h"
#include "kernels/core/error.h"
#include "kernels/pooled_conv/pooled_conv_plan.h"
#include "kernels/pooled_conv/pooled_conv_shape.h"
#include "tests/gpu/device.h"
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

#endif
