#include "kernels/conv_block/conv_block.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/build_config.h"
#include "base/error.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/conv_block/conv_block_plain.h"
#include "tests/operations/layers.h"
#include "tests/support/conv_references.h"
#include "tests/support/error_message.h"
#include "tests/support/onednn_speed.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// {{batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}, window}:
// the network's blocks, then odd sizes, images that leave rows and columns over, windows 1, 2 and 3, batches
// cut into uneven chunks.
const ConvBlockShape kBlocks[] = {{{3, 1, 28, 28, 32, 3, 3, 1, 1}, 2}, {{2, 32, 14, 14, 64, 3, 3, 1, 1}, 2},
                                  {{2, 3, 32, 32, 16, 3, 3, 1, 1}, 2}, {{17, 2, 7, 9, 5, 3, 3, 1, 1}, 2},
                                  {{3, 5, 8, 7, 9, 3, 3, 0, 1}, 3},    {{1, 16, 6, 6, 8, 1, 1, 0, 1}, 1},
                                  {{3, 8, 9, 5, 16, 5, 5, 2, 2}, 3},   {{17, 17, 5, 6, 33, 2, 2, 1, 1}, 2},
                                  {{35, 16, 11, 11, 8, 3, 3, 1, 1}, 2}};
// More than a whole batch of the network's second block.
const ConvBlockShape kBatchBlock{{70, 32, 14, 14, 64, 3, 3, 1, 1}, 2};
// On a GPU all by our own kernels; weights by our own; all, with many channels; weights by our own, few input
// channels; all by the library.
const ConvBlockShape kOwnBlocks[] = {{{3, 1, 12, 12, 9, 3, 3, 1, 1}, 2},
                                     {{2, 8, 8, 64, 8, 3, 3, 1, 1}, 2},
                                     {{2, 8, 8, 10, 64, 3, 3, 1, 1}, 2},
                                     {{2, 3, 8, 56, 8, 3, 3, 1, 1}, 2},
                                     {{2, 6, 4, 100, 3, 3, 3, 1, 1}, 2}};

std::string text(const ConvBlockShape& s) { return qmse::test::text(s.conv) + std::to_string(s.window); }

LayerSizes sizes(const ConvBlockShape& s) {
  const MaxPool2dShape p = s.pool();
  return {input_count(s.conv), weight_count(s.conv), s.conv.out_channels,
          p.batch * p.channels * p.out_height() * p.out_width()};
}

BiasShape planes(const Conv2dShape& s) { return {s.batch, s.out_channels, s.out_height() * s.out_width()}; }

struct PlanConvBlock {
  ConvBlockShape shape;
  BackwardNeeds needs = {};
  template <class C, class T>
  auto operator()(C& context, Precision<T> precision) const {
    return make_conv_block(context, precision, shape, needs);
  }
  auto plain(CpuContext& context) const { return make_plain_conv_block<float>(context, shape); }
};

template <class C, class T>
void run(ConvBlock<T>& block, const LayerTensors<C, T>& on) {
  block.forward(on.x.data(), on.w.data(), on.bias.data(), on.y.data());
  block.backward(on.x.data(), on.w.data(), on.dy.data(), on.dx.data(), on.dw.data(), on.db.data());
}

template <class C, class T>
LayerResults<T> results(const Device<C, T>& device, ConvBlock<T>& block, const LayerInputs<T>& in) {
  const LayerTensors on(device, in);
  run(block, on);
  return on.results();
}

template <class T>
LayerResults<T> results(CpuContext& context, const ConvBlockShape& s, const LayerInputs<T>& in) {
  return results(Device<CpuContext, T>{context}, *make_conv_block(context, Precision<T>(), s), in);
}

// The same from the separate operations.
template <class C, class T>
LayerResults<T> separately(const Device<C, T>& device, const ConvBlockShape& s, const LayerInputs<T>& in) {
  C& context = device.context;
  const std::int64_t count = output_count(s.conv);
  const LayerTensors on(device, in);
  const auto z = device.template unwritten<T>(count), dz = device.template unwritten<T>(count);
  const auto choice = device.template unwritten<std::uint8_t>(sizes(s).dy);
  const auto conv = make_conv2d(context, Precision<T>(), s.conv);
  conv->forward(on.x.data(), on.w.data(), nullptr, z.data());
  bias_activation_forward(context, planes(s.conv), Activation::relu, z.data(), on.bias.data(), z.data());
  max_pool2d_forward(context, s.pool(), z.data(), on.y.data(), choice.data());
  max_pool2d_backward(context, s.pool(), on.dy.data(), choice.data(), dz.data());
  activation_backward(context, count, Activation::relu, z.data(), dz.data(), dz.data());
  conv->backward_weights(on.x.data(), dz.data(), on.dw.data(), on.db.data());
  conv->backward_data(on.w.data(), dz.data(), on.dx.data());
  return on.results();
}

template <class C, class T>
bool has_own_kernels(const Device<C, T>& device) {
  if constexpr (Device<C, T>::kIsCuda) return takes_own_kernels(device.context.options());
  return false;
}

// f32 sums of up to some thousand terms in other orders.
template <class T>
void check_near(const std::vector<T>& actual, const std::vector<T>& expected) {
  double largest = 0;
  for (const T value : expected) largest = std::max(largest, std::abs(static_cast<double>(value)));
  check_close(actual, to_f64(expected), 0, 1e-5 * largest);
}

}  // namespace

// On the CPU, where every result is exact; there are ties in the windows and zeros before ReLU, which a GPU's
// library might round to one side.
TEST_CASE("conv_block: values and gradients equal the reference on whole numbers") {
  Devices devices;
  for (const ConvBlockShape& s : kBlocks) {
    CAPTURE(text(s));
    const LayerInputs<double> whole = whole_inputs<double>(sizes(s));
    const Numbers z = reference_bias_activation(planes(s.conv), Activation::relu,
                                                reference_conv(s.conv, whole.x, whole.w, {}), whole.bias);
    const Pooled pooled = reference_max_pool(s.pool(), z);
    Numbers dz = reference_max_pool_backward(s.pool(), whole.dy, pooled.choice);
    for (std::size_t i = 0; i < dz.size(); ++i) dz[i] = z[i] > 0 ? dz[i] : 0;
    const ConvGradients g = reference_conv_backward(s.conv, whole.x, whole.w, dz);
    devices.each_cpu_plan(PlanConvBlock{s}, [&](auto& device, auto& block) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const LayerResults<T> r = results(device, block, whole_inputs<T>(sizes(s)));
      CHECK((to_f64(r.y) == pooled.y));
      CHECK((to_f64(r.dx) == g.dx));
      CHECK((to_f64(r.dw) == g.dw));
      CHECK((to_f64(r.db) == g.db));
    });
  }
}

TEST_CASE("conv_block: has the bits of convolution, bias, ReLU and max-pool run one after the other",
          "[plans]") {
  Devices devices;
  std::vector<ConvBlockShape> shapes(std::begin(kBlocks), std::end(kBlocks));
  shapes.push_back(kBatchBlock);
  for (const ConvBlockShape& s : shapes) {
    CAPTURE(text(s));
    devices.each_library([&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      if (has_own_kernels(device)) return;  // they add in other orders: see below
      const auto in = fractional_inputs<T>(sizes(s));
      LayerResults<T> actual = results(device, *make_conv_block(device.context, Precision<T>(), s), in);
      const LayerResults<T> expected = separately(device, s, in);
      if (device.kIsCuda) {  // there the bias' gradient alone is added in another order
        check_near(actual.db, expected.db);
        actual.db = expected.db;
      }
      check_same_bits(actual, expected);
    });
  }
}

TEST_CASE("conv_block: our own kernels agree with the library's", "[plans]") {
  Devices devices;
  for (const ConvBlockShape& s : kOwnBlocks) {
    CAPTURE(text(s));
    devices.each_library([&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const auto in = fractional_inputs<T>(sizes(s));
      const auto block = make_conv_block(device.context, Precision<T>(), s);
      CAPTURE(block->algorithm());
      const LayerResults<T> actual = results(device, *block, in), expected = separately(device, s, in);
      check_near(actual.y, expected.y);
      check_near(actual.dx, expected.dx);
      check_near(actual.dw, expected.dw);
      check_near(actual.db, expected.db);
    });
  }
}

TEST_CASE("conv_block: a GPU's own kernels are taken where there are such and cuDNN's where it is asked for",
          "[plans]") {
  const ConvBlockShape first{{2, 1, 8, 8, 8, 3, 3, 1, 1}, 2}, second{{2, 8, 8, 8, 8, 3, 3, 1, 1}, 2},
      full{{2, 8, 8, 8, 64, 3, 3, 1, 1}, 2}, other{{2, 8, 8, 8, 8, 5, 5, 2, 1}, 2};
  Devices devices;
  devices.each_gpu_library([&](auto& device) {
    const auto algorithm = [&](const ConvBlockShape& shape, BackwardNeeds needs) {
      return std::string(make_conv_block(device.context, Precision<float>(), shape, needs)->algorithm());
    };
    if (has_own_kernels(device)) {
      CHECK(algorithm(first, {.data = false}) == "own fp32 forward, weights");
      CHECK(algorithm(second, {}).find("own fp32 data, weights; cuDNN fp32 forward") == 0);
      CHECK(algorithm(full, {}) == "own fp32 forward, data, weights");
      // Too wide for the gradients' bands.
      const ConvBlockShape wide{{2, 8, 4, 100, 64, 3, 3, 1, 1}, 2};
      CHECK(algorithm(wide, {}).find("cuDNN fp32 forward") == 0);
      CHECK(algorithm(wide, {.data = false, .weights = false}) == "own fp32 forward");
    } else {
      CHECK(algorithm(first, {.data = false}).find("cuDNN") == 0);
    }
    CHECK(algorithm(other, {}).find("cuDNN") == 0);
  });
}

TEST_CASE("conv_block: a gradient that was not planned is refused", "[plans]") {
  Devices devices;
  devices.each_gpu_library([&](auto& device) {  // on the CPU nothing has to be left out
    const auto block =
        make_conv_block(device.context, Precision<float>(), kOwnBlocks[0], {.data = false, .weights = false});
    CHECK_THROWS_AS(block->backward(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr), std::logic_error);
  });
}

TEST_CASE("conv_block: NaN and infinity pass as through the separate operations", "[plans]") {
  const ConvBlockShape s{{2, 3, 9, 8, 10, 3, 3, 1, 1}, 2};
  Devices devices;
  devices.each_library([&](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    if (has_own_kernels(device)) return;  // pooled_conv's tests have a NaN
    LayerInputs<T> in = fractional_inputs<T>(sizes(s));
    in.x[40] = std::numeric_limits<T>::quiet_NaN();
    in.x[100] = std::numeric_limits<T>::infinity();
    in.bias[4] = -std::numeric_limits<T>::infinity();
    const std::vector<T> y = results(device, *make_conv_block(device.context, Precision<T>(), s), in).y,
                         expected = separately(device, s, in).y;
    int nans = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      CAPTURE(i, y[i], expected[i]);
      CHECK((std::isnan(y[i]) ? std::isnan(expected[i]) : y[i] == expected[i]));
      nans += std::isnan(y[i]);
    }
    CHECK(nans > 0);
  });
}

TEST_CASE("conv_block: layouts between blocks do not change a bit", "[plans]") {
  constexpr std::int64_t kMiddle = 32;
  const Conv2dShape conv1{21, 3, 12, 13, kMiddle, 3, 3, 1, 1}, conv2{21, kMiddle, 6, 6, 16, 3, 3, 1, 1};
  const ConvBlockShape plain1{conv1, 2}, plain2{conv2, 2};
  Devices devices;
  devices.each_library([&](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const LayerInputs<T> in1 = fractional_inputs<T>(sizes(plain1)), in2 = fractional_inputs<T>(sizes(plain2));
    // The second block's results, with dx the first's, then the first's.
    const auto chain = [&](Layout between) {
      const auto block1 = make_conv_block(device.context, Precision<T>(), {conv1, 2, Layout::plain, between});
      const auto block2 = make_conv_block(device.context, Precision<T>(), {conv2, 2, between, Layout::plain});
      const LayerTensors first(device, in1), second(device, in2);
      block1->forward(first.x.data(), first.w.data(), first.bias.data(), first.y.data());
      block2->forward(first.y.data(), second.w.data(), second.bias.data(), second.y.data());
      block2->backward(first.y.data(), second.w.data(), second.dy.data(), first.dy.data(), second.dw.data(),
                       second.db.data());
      block1->backward(first.x.data(), first.w.data(), first.dy.data(), first.dx.data(), first.dw.data(),
                       first.db.data());
      return std::pair(LayerResults<T>{{}, first.dx.values(), first.dw.values(), first.db.values()},
                       LayerResults<T>{second.y.values(), {}, second.dw.values(), second.db.values()});
    };
    const auto plain = chain(Layout::plain),
               blocked = chain(preferred_layout(device.context, Precision<T>(), kMiddle));
    check_same_bits(plain.first, blocked.first);
    check_same_bits(plain.second, blocked.second);
  });
}

// The layouts are those between a network's blocks: blocked wherever both sides could take it.
TEST_CASE("conv_block: no channel counts and layouts are left to oneDNN's reference loops") {
  CpuContext context(1);
  for (const std::int64_t in : {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 20, 24, 32}) {
    for (const std::int64_t out : {1, 2, 4, 7, 8, 10, 16, 20, 24, 32}) {
      const Layout from = preferred_layout(context, Precision<float>(), in),
                   to = preferred_layout(context, Precision<float>(), out);
      for (const Layout input : {Layout::plain, from}) {
        for (const Layout output : {Layout::plain, to}) {
          for (const std::int64_t kernel : {3, 5}) {
            const ConvBlockShape s{{5, in, 6, 6, out, kernel, kernel, kernel / 2, 1}, 2, input, output};
            const auto block = make_conv_block(context, Precision<float>(), s);
            CAPTURE(in, out, kernel, block->algorithm());
            const bool few_are_slow = QMSE_ONEDNN != 0 && !onednn_is_fast() && kernel == 5;
            CHECK((!block->slow() || (few_are_slow && in <= 3)));
            CHECK((in > 1 || block->slow() == few_are_slow));
            CHECK((block->slow() || std::string(block->algorithm()).find("ref") == std::string::npos));
          }
        }
      }
    }
  }
}

TEST_CASE("conv_block: channels that fill no block give what the plain loops give") {
  CpuContext context(2);
  for (const std::int64_t in : {4, 7, 8, 9, 20}) {
    for (const std::int64_t out : {3, 8, 12, 16}) {
      const Layout to = preferred_layout(context, Precision<float>(), out),
                   from = preferred_layout(context, Precision<float>(), in);
      const ConvBlockShape s{{5, in, 6, 7, out, 3, 3, 1, 1}, 2, Layout::plain, Layout::plain};
      CAPTURE(text(s));
      const LayerInputs<float> whole = whole_inputs<float>(sizes(s));
      const Device<CpuContext, float> device{context};
      const LayerResults<float> expected = results(device, *make_plain_conv_block<float>(context, s), whole);
      check_same_bits(results(context, s, whole), expected);
      // The same through the layouts of a network: laid out anew before and after.
      const auto relaid = [&](std::vector<float> values, std::int64_t channels, Layout layout, bool back) {
        if (layout == Layout::plain) return values;
        const std::int64_t pixels = static_cast<std::int64_t>(values.size()) / (s.conv.batch * channels),
                           block = blocked_channels();
        std::vector<float> moved(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
          const auto at = static_cast<std::int64_t>(i);
          const std::int64_t image = at / (channels * pixels), c = at / pixels % channels, p = at % pixels;
          const auto other = static_cast<std::size_t>(image * channels * pixels + c / block * block * pixels +
                                                      p * block + c % block);
          (back ? moved[i] : moved[other]) = back ? values[other] : values[i];
        }
        return moved;
      };
      LayerInputs<float> in_layouts = whole;
      in_layouts.x = relaid(whole.x, in, from, false);
      in_layouts.dy = relaid(whole.dy, out, to, false);
      LayerResults<float> there = results(context, {s.conv, 2, from, to}, in_layouts);
      there.y = relaid(there.y, out, to, true);
      there.dx = relaid(there.dx, in, from, true);
      check_same_bits(there, expected);
    }
  }
}

TEST_CASE("conv_block: the images' gradient is left out where it is not wanted", "[plans]") {
  Devices devices;
  std::vector<ConvBlockShape> shapes(std::begin(kOwnBlocks), std::end(kOwnBlocks));
  for (const ConvBlockShape& s : {kBlocks[0], kBlocks[4]}) shapes.push_back(s);
  for (const ConvBlockShape& s : shapes) {
    CAPTURE(text(s));
    devices.each_plan(PlanConvBlock{s}, [&](auto& device, auto& block) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const LayerTensors on(device, fractional_inputs<T>(sizes(s)));
      run(block, on);
      const LayerResults<T> all = on.results();
      const auto dw = device.template unwritten<T>(sizes(s).w),
                 db = device.template unwritten<T>(sizes(s).bias);
      block.backward(on.x.data(), on.w.data(), on.dy.data(), nullptr, dw.data(), db.data());
      CHECK(same_bits(dw.values(), all.dw));
      CHECK(same_bits(db.values(), all.db));
    });
  }
}

TEST_CASE("conv_block: gradients agree with central differences") {
  CpuContext context(1);
  const ConvBlockShape s{{2, 2, 5, 6, 3, 3, 3, 1, 1}, 2};
  // The kinks: a draw is used only where every window's winner is 1e-3 above zero and the runner-up, or all
  // of the window 1e-3 below zero; the differences move values by less than 1e-4.
  for (std::uint64_t seed = 100;; ++seed) {
    REQUIRE(seed < 1000);
    const LayerInputs<double> in{random_values<double>(input_count(s.conv), seed),
                                 random_values<double>(weight_count(s.conv), seed + 1000),
                                 random_values<double>(s.conv.out_channels, seed + 2000),
                                 random_values<double>(sizes(s).dy, seed + 3000)};
    auto z = reference_bias_activation(planes(s.conv), Activation::identity,
                                       reference_conv(s.conv, in.x, in.w, {}), in.bias);
    bool clear = true;
    const Pooled winners = reference_max_pool(s.pool(), z);
    auto mark = reference_max_pool_backward(s.pool(), Numbers(in.dy.size(), 1.0), winners.choice);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = mark[i] > 0 ? -1e9 : z[i];
    const Pooled runners_up = reference_max_pool(s.pool(), z);
    for (std::size_t i = 0; i < in.dy.size(); ++i) {
      clear = clear && std::abs(winners.y[i]) > 1e-3;
      clear = clear && (winners.y[i] < 0 || winners.y[i] - runners_up.y[i] > 1e-3);
    }
    if (!clear) continue;
    CAPTURE(seed);
    const auto block = make_conv_block(context, Precision<double>(), s);
    const LayerResults<double> r = results(context, s, in);
    const auto forward = [&](const Numbers& x, const Numbers& w, const Numbers& b) {
      Numbers y(in.dy.size());
      block->forward(x.data(), w.data(), b.data(), y.data());
      return y;
    };
    check_gradient([&](const Numbers& v) { return forward(v, in.w, in.bias); }, in.x, in.dy, r.dx);
    check_gradient([&](const Numbers& v) { return forward(in.x, v, in.bias); }, in.w, in.dy, r.dw);
    check_gradient([&](const Numbers& v) { return forward(in.x, in.w, v); }, in.bias, in.dy, r.db);
    return;
  }
}

TEMPLATE_TEST_CASE("conv_block: the number of threads does not change a bit", "", float, double) {
  for (const ConvBlockShape& s :
       {ConvBlockShape{{67, 1, 14, 14, 16, 3, 3, 1, 1}, 2}, ConvBlockShape{{67, 16, 7, 7, 32, 3, 3, 1, 1}, 2},
        ConvBlockShape{{19, 5, 9, 8, 7, 3, 3, 1, 2}, 3}}) {
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

TEST_CASE("conv_block: a planned block allocates nothing", "[plans]") {
  const ConvBlockShape s{{9, 4, 8, 8, 8, 3, 3, 1, 1}, 2};
  Devices devices;
  devices.each_plan(PlanConvBlock{s}, [&](auto& device, auto& block) {
    using T = typename std::decay_t<decltype(device)>::Number;
    const LayerTensors on(device, fractional_inputs<T>(sizes(s)));
    const std::int64_t before = device.context.memory().allocation_count();
    run(block, on);
    CHECK(device.context.memory().allocation_count() == before);
  });
}

TEST_CASE("conv_block: shapes and layouts that do not fit are refused", "[plans]") {
  const ConvBlockShape good{{2, 3, 8, 8, 5, 3, 3, 1, 1}, 2};
  Devices devices;
  const auto refused = [&](auto change, const char* part) {
    ConvBlockShape s = good;
    change(s);
    CAPTURE(text(s));
    devices.each_library([&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const auto make = [&] { make_conv_block(device.context, Precision<T>(), s); };
      // A layout that no backend asked for is the caller's mistake where there is one layout only.
      const bool layout = s.input_layout != Layout::plain || s.output_layout != Layout::plain;
      if (device.kIsCuda && layout) {
        CHECK_THROWS_AS(make(), std::logic_error);
      } else {
        CHECK(missing(message_of<ShapeError>(make), {part}) == "");
      }
    });
  };
  refused([](ConvBlockShape& s) { s.conv.batch = 0; }, "at least 1");
  refused([](ConvBlockShape& s) { s.conv.padding = 5; }, "padding");
  refused([](ConvBlockShape& s) { s.window = 0; }, "window");
  refused([](ConvBlockShape& s) { s.window = 9; }, "window");
  refused([](ConvBlockShape& s) { s.input_layout = Layout::blocked; }, "blocked");
  refused([](ConvBlockShape& s) { s.output_layout = Layout::blocked; }, "blocked");
  CHECK(preferred_layout(devices.cpu(), Precision<float>(), 5) == Layout::plain);
  CHECK(preferred_layout(devices.cpu(), Precision<double>(), 32) == Layout::plain);
}
