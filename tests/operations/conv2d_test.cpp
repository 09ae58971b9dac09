#include "kernels/conv2d/conv2d.h"

#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/build_config.h"
#include "base/error.h"
#include "tests/operations/layers.h"
#include "tests/support/conv_references.h"
#include "tests/support/error_message.h"
#include "tests/support/onednn_speed.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// {batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}: the
// network's two layers, then odd sizes, channels that fill no whole block, kernels 1, 2, 3 and 5, images
// that leave rows and columns over, batches cut into uneven chunks.
const Conv2dShape kConvs[] = {
    {3, 1, 28, 28, 32, 3, 3, 1, 1}, {2, 32, 14, 14, 64, 3, 3, 1, 1}, {2, 3, 32, 32, 16, 3, 3, 1, 1},
    {17, 2, 7, 9, 5, 3, 3, 1, 1},   {3, 5, 8, 7, 9, 3, 3, 0, 1},     {1, 16, 6, 6, 8, 1, 1, 0, 1},
    {3, 8, 9, 5, 16, 5, 5, 2, 1},   {2, 1, 11, 10, 7, 5, 5, 2, 2},   {17, 17, 5, 6, 33, 2, 2, 1, 1},
    {3, 4, 9, 9, 8, 2, 2, 0, 2},    {1, 16, 10, 11, 24, 3, 3, 1, 2}, {2, 3, 8, 6, 4, 3, 5, 1, 2},
    {1, 1, 1, 1, 1, 1, 1, 0, 1},    {5, 1, 4, 4, 1, 4, 4, 0, 1},     {35, 8, 12, 12, 8, 3, 3, 1, 1},
    {2, 3, 32, 32, 32, 3, 3, 1, 1}};
// A whole batch of the network's second layer.
const Conv2dShape kBatch{64, 32, 14, 14, 64, 3, 3, 1, 1};

LayerSizes sizes(const Conv2dShape& s) {
  return {input_count(s), weight_count(s), s.out_channels, output_count(s)};
}

struct PlanConv2d {
  Conv2dShape shape;
  BackwardNeeds needs = {};
  template <class C, class T>
  auto operator()(C& context, Precision<T> precision) const {
    return make_conv2d(context, precision, shape, needs);
  }
  auto plain(CpuContext& context) const { return make_plain_conv2d<float>(context, shape); }
};

template <class C, class T>
void run(Conv2d<T>& conv, const LayerTensors<C, T>& on) {
  conv.forward(on.x.data(), on.w.data(), on.bias.data(), on.y.data());
  conv.backward_data(on.w.data(), on.dy.data(), on.dx.data());
  conv.backward_weights(on.x.data(), on.dy.data(), on.dw.data(), on.db.data());
}

template <class T>
LayerResults<T> results(CpuContext& context, const Conv2dShape& s, const LayerInputs<T>& in) {
  const LayerTensors on(Device<CpuContext, T>{context}, in);
  run(*make_conv2d(context, Precision<T>(), s), on);
  return on.results();
}

LayerResults<double> reference(const Conv2dShape& s, const LayerInputs<double>& in) {
  ConvGradients g = reference_conv_backward(s, in.x, in.w, in.dy);
  return {reference_conv(s, in.x, in.w, in.bias), std::move(g.dx), std::move(g.dw), std::move(g.db)};
}

// Inputs of one type and what has to come of them, for all of its plans.
template <class T>
struct ConvCase {
  explicit ConvCase(const Conv2dShape& s)
      : in(fractional_inputs<T>(sizes(s))), expected(reference(s, to_f64(in))) {
    if constexpr (QMSE_CUDA && std::is_same_v<T, float>) magnitude = reference(s, magnitudes(in));
  }
  LayerInputs<T> in;
  LayerResults<double> expected, magnitude;  // the latter where there is a GPU
};

void check_fractions(Devices& devices, const Conv2dShape& s) {
  CAPTURE(text(s));
  const std::tuple<ConvCase<float>, ConvCase<double>> cases{ConvCase<float>(s), ConvCase<double>(s)};
  devices.each_plan(PlanConv2d{s}, [&](auto& device, auto& conv) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const ConvCase<T>& test = std::get<ConvCase<T>>(cases);
    const LayerTensors on(device, test.in);
    run(conv, on);
    const LayerResults<T> r = on.results();
    const std::int64_t taps = s.kernel_height * s.kernel_width, pixels = s.out_height() * s.out_width();
    check_products(device, r.y, test.expected.y, test.magnitude.y, s.in_channels * taps + 1);
    check_products(device, r.dx, test.expected.dx, test.magnitude.dx, s.out_channels * taps);
    check_products(device, r.dw, test.expected.dw, test.magnitude.dw, s.batch * pixels);
    check_products(device, r.db, test.expected.db, test.magnitude.db, s.batch * pixels);
    if (device.has_tf32()) check_sums(r.db, test.expected.db, test.magnitude.db, 32 * device.kEpsilon, 0.25);
  });
}

}  // namespace

// On the CPU every result is exact, so nothing but a right sum passes; a GPU's library may transform tiles.
TEST_CASE("conv2d: values and gradients equal the reference on whole numbers", "[plans]") {
  Devices devices;
  for (const Conv2dShape& s : kConvs) {
    CAPTURE(text(s));
    const LayerInputs<double> whole = whole_inputs<double>(sizes(s));
    const LayerResults<double> expected = reference(s, whole);
    const Numbers no_bias = reference_conv(s, whole.x, whole.w, {});
    const LayerResults<double> magnitude = reference(s, magnitudes(whole));
    devices.each_plan(PlanConv2d{s}, [&](auto& device, auto& conv) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const auto check = [&](const std::vector<T>& actual, const Numbers& exact, const Numbers& size) {
        if constexpr (std::decay_t<decltype(device)>::kIsCpu) {
          CHECK((to_f64(actual) == exact));
        } else {
          check_sums(actual, exact, size, device.sum_tolerance(), 0.25);
        }
      };
      const LayerTensors on(device, whole_inputs<T>(sizes(s)));
      run(conv, on);
      const LayerResults<T> r = on.results();
      check(r.y, expected.y, magnitude.y);
      check(r.dx, expected.dx, magnitude.dx);
      check(r.dw, expected.dw, magnitude.dw);
      check(r.db, expected.db, magnitude.db);

      const auto y = device.template unwritten<T>(output_count(s)),
                 dw = device.template unwritten<T>(weight_count(s));
      conv.forward(on.x.data(), on.w.data(), nullptr, y.data());
      conv.backward_weights(on.x.data(), on.dy.data(), dw.data(), nullptr);
      check(y.values(), no_bias, magnitude.y);
      check(dw.values(), expected.dw, magnitude.dw);
    });
  }
}

TEST_CASE("conv2d: values and gradients agree with f64", "[plans]") {
  Devices devices;
  for (const Conv2dShape& s : kConvs) check_fractions(devices, s);
  check_fractions(devices, kBatch);
}

TEST_CASE("conv2d: gradients agree with central differences") {
  CpuContext context(1);
  for (const Conv2dShape& s :
       {Conv2dShape{2, 2, 5, 6, 3, 3, 3, 1, 1}, Conv2dShape{1, 3, 7, 5, 2, 2, 3, 0, 2}}) {
    CAPTURE(text(s));
    const LayerInputs<double> in = fractional_inputs<double>(sizes(s));
    const auto conv = make_conv2d(context, Precision<double>(), s);
    const LayerResults<double> r = results(context, s, in);
    const auto forward = [&](const Numbers& x, const Numbers& w, const Numbers& bias) {
      Numbers y(in.dy.size());
      conv->forward(x.data(), w.data(), bias.data(), y.data());
      return y;
    };
    check_gradient([&](const Numbers& v) { return forward(v, in.w, in.bias); }, in.x, in.dy, r.dx);
    check_gradient([&](const Numbers& v) { return forward(in.x, v, in.bias); }, in.w, in.dy, r.dw);
    check_gradient([&](const Numbers& v) { return forward(in.x, in.w, v); }, in.bias, in.dy, r.db);
  }
}

TEMPLATE_TEST_CASE("conv2d: the number of threads does not change a bit", "", float, double) {
  for (const Conv2dShape& s :
       {Conv2dShape{67, 1, 14, 14, 16, 3, 3, 1, 1}, Conv2dShape{67, 16, 7, 7, 32, 3, 3, 1, 1},
        Conv2dShape{19, 5, 9, 8, 7, 3, 3, 1, 2}}) {
    const auto in = fractional_inputs<TestType>(sizes(s));
    CpuContext one(1);
    const LayerResults<TestType> first = results(one, s, in);
    for (const int threads : {2, 3, 5}) {
      CAPTURE(text(s), threads);
      CpuContext context(threads);
      check_same_bits(results(context, s, in), first);
    }
  }
}

TEST_CASE("conv2d: a planned convolution allocates nothing", "[plans]") {
  const Conv2dShape s{9, 4, 8, 8, 8, 3, 3, 1, 1};
  Devices devices;
  devices.each_plan(PlanConv2d{s}, [&](auto& device, auto& conv) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const LayerTensors on(device, fractional_inputs<T>(sizes(s)));
    const std::int64_t before = device.context.memory().allocation_count();
    run(conv, on);
    CHECK(device.context.memory().allocation_count() == before);
  });
}

TEST_CASE("conv2d: a convolution is planned with less workspace where memory is short", "[plans]") {
  Devices devices;
  devices.each_library([&](auto& device) {
    using D = std::decay_t<decltype(device)>;
    using T = typename D::Number;
    if (device.has_tf32()) return;  // what its algorithms take was not measured
    // What the trials' own buffers need, and 8 MiB for the context and a workspace: with plenty, an H100 takes
    // 14 MiB for the gradient of this convolution's weights, and its smallest deterministic algorithm 5.
    const LayerSizes n = sizes(kBatch);
    device.context.memory().set_limit(static_cast<std::size_t>(n.x + n.w + n.dy) * sizeof(T) +
                                      (std::size_t{8} << 20));
    CHECK_NOTHROW(make_conv2d(device.context, Precision<T>(), kBatch));
    if (D::kIsCuda) {
      device.context.memory().set_limit(1 << 16);  // less than the layer itself
      CHECK_THROWS_AS(make_conv2d(device.context, Precision<T>(), {65, 32, 14, 14, 64, 3, 3, 1, 1}), Error);
    }
    device.context.memory().set_limit(0);
  });
}

TEST_CASE("conv2d: a gradient that was not planned is refused", "[plans]") {
  Devices devices;
  devices.each_gpu_library([&](auto& device) {  // on the CPU nothing has to be left out
    const auto conv =
        make_conv2d(device.context, Precision<float>(), kConvs[0], {.data = false, .weights = false});
    CHECK_THROWS_AS(conv->backward_data(nullptr, nullptr, nullptr), std::logic_error);
    CHECK_THROWS_AS(conv->backward_weights(nullptr, nullptr, nullptr, nullptr), std::logic_error);
  });
}

TEST_CASE("conv2d: says what it runs on") {
  CpuContext context(1);
  const Conv2dShape s{4, 1, 28, 28, 32, 3, 3, 1, 1};
  CHECK(std::string(make_plain_conv2d<float>(context, s)->algorithm()) == "plain, sparse gradients");
  CHECK(std::string(make_conv2d(context, Precision<double>(), s)->algorithm()) == "plain");
  Conv2dShape many = s, large = s;
  many.in_channels = 8;
  large.kernel_height = large.kernel_width = 5;
  const auto chosen = [&](const Conv2dShape& shape) {
    return std::string(make_conv2d(context, Precision<float>(), shape)->algorithm());
  };
  CAPTURE(chosen(s), chosen(many), chosen(large));
  CHECK((chosen(s) == "forward direct 3x3, sparse gradients") == (QMSE_ONEDNN != 0));
  CHECK((chosen(many) == "forward Winograd F(2x2, 3x3), sparse gradients") == (QMSE_ONEDNN != 0));
  CHECK((chosen(large).find("oneDNN") != std::string::npos) == (QMSE_ONEDNN != 0));
}

// Behind a first layer of so many channels, and in front of one: what a network's convolutions can be.
TEST_CASE("conv2d: no channel counts are left to oneDNN's reference loops") {
  CpuContext context(1);
  for (const std::int64_t in : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 40}) {
    for (const std::int64_t out : {1, 2, 3, 4, 7, 8, 10, 16, 20, 24, 32}) {
      for (const std::int64_t kernel : {3, 5}) {
        const Conv2dShape s{4, in, 7, 7, out, kernel, kernel, kernel / 2, 1};
        const auto conv = make_conv2d(context, Precision<float>(), s);
        const std::string chosen = conv->algorithm();
        CAPTURE(in, out, kernel, chosen);
        if (conv->slow()) {  // oneDNN has nothing else on this processor
          CHECK(chosen.find("plain (oneDNN: ") == 0);
          CHECK(chosen.find("ref") != std::string::npos);
        } else {
          CHECK(chosen.find("ref") == std::string::npos);
        }
        const bool few_are_slow = QMSE_ONEDNN != 0 && !onednn_is_fast() && kernel == 5;
        CHECK((!conv->slow() || (few_are_slow && in <= 3)));
        CHECK((in > 1 || conv->slow() == few_are_slow));
      }
    }
  }
}

TEST_CASE("conv2d: shapes that do not fit are refused", "[plans]") {
  const Conv2dShape good{2, 3, 8, 8, 4, 3, 3, 1, 1};
  check(good);
  Devices devices;
  const auto refused = [&](auto change, const char* part) {
    Conv2dShape s = good;
    change(s);
    CAPTURE(text(s));
    CHECK(missing(message_of<ShapeError>([&] { check(s); }), {part}) == "");
    devices.each_library([&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      CHECK_THROWS_AS(make_conv2d(device.context, Precision<T>(), s), ShapeError);
    });
  };
  refused([](Conv2dShape& s) { s.batch = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.in_channels = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.in_height = -1; }, "at least 1");
  refused([](Conv2dShape& s) { s.out_channels = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.kernel_width = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.stride = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.padding = -1; }, "padding");
  refused([](Conv2dShape& s) { s.padding = 3; }, "padding");
  refused([](Conv2dShape& s) { s.in_width = 0; }, "at least 1");
  refused([](Conv2dShape& s) { s.kernel_height = s.kernel_width = 11; }, "smaller than the kernel");
}
