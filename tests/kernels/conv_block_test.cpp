#include "kernels/conv_block/conv_block.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/build_config.h"
#include "base/error.h"
#include "kernels/bias_activation/bias_activation.h"
#include "kernels/conv_block/conv_block_plain.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/error_message.h"
#include "tests/support/numbers.h"
#include "tests/support/onednn_speed.h"
#include "tests/support/small_op_references.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// {{batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}, window}:
// the network's blocks, then odd sizes, images that leave rows and columns over, windows 1, 2 and 3, batches
// cut into uneven chunks.
const ConvBlockShape kShapes[] = {{{3, 1, 28, 28, 32, 3, 3, 1, 1}, 2}, {{2, 32, 14, 14, 64, 3, 3, 1, 1}, 2},
                                  {{2, 3, 32, 32, 16, 3, 3, 1, 1}, 2}, {{17, 2, 7, 9, 5, 3, 3, 1, 1}, 2},
                                  {{3, 5, 8, 7, 9, 3, 3, 0, 1}, 3},    {{1, 16, 6, 6, 8, 1, 1, 0, 1}, 1},
                                  {{3, 8, 9, 5, 16, 5, 5, 2, 2}, 3},   {{17, 17, 5, 6, 33, 2, 2, 1, 1}, 2},
                                  {{35, 16, 11, 11, 8, 3, 3, 1, 1}, 2}};

std::string text(const ConvBlockShape& s) {
  const Conv2dShape& c = s.conv;
  std::string t;
  for (const std::int64_t v : {c.batch, c.in_channels, c.in_height, c.in_width, c.out_channels,
                               c.kernel_height, c.kernel_width, c.padding, c.stride, s.window})
    t += std::to_string(v) + " ";
  return t;
}

std::int64_t pooled_count(const ConvBlockShape& s) {
  const MaxPool2dShape p = s.pool();
  return p.batch * p.channels * p.out_height() * p.out_width();
}

template <class T>
struct Inputs {
  std::vector<T> x, w, bias, dy;
};

template <class T>
Inputs<T> whole_inputs(const ConvBlockShape& s) {
  return {random_integers<T>(input_count(s.conv), 1), random_integers<T>(weight_count(s.conv), 2),
          random_integers<T>(s.conv.out_channels, 3), random_integers<T>(pooled_count(s), 4)};
}

template <class T>
Inputs<T> fractional_inputs(const ConvBlockShape& s) {
  return {random_values<T>(input_count(s.conv), 5), random_values<T>(weight_count(s.conv), 6),
          random_values<T>(s.conv.out_channels, 7), random_values<T>(pooled_count(s), 8)};
}

// With every gradient; as a function without default arguments.
template <class T>
std::unique_ptr<ConvBlock<T>> planned(CpuContext& context, const ConvBlockShape& shape) {
  return make_conv_block(context, Precision<T>(), shape);
}

template <class T>
std::unique_ptr<ConvBlock<T>> plain(CpuContext& context, const ConvBlockShape& shape) {
  return make_plain_conv_block<T>(context, shape);
}

template <class T>
struct Results {
  std::vector<T> y, dx, dw, db;
};

// Over buffers that hold NaN beforehand.
template <class T>
Results<T> run(ConvBlock<T>& block, const Inputs<T>& in) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Results<T> r{std::vector<T>(in.dy.size(), nan), std::vector<T>(in.x.size(), nan),
               std::vector<T>(in.w.size(), nan), std::vector<T>(in.bias.size(), nan)};
  block.forward(in.x.data(), in.w.data(), in.bias.data(), r.y.data());
  block.backward(in.x.data(), in.w.data(), in.dy.data(), r.dx.data(), r.dw.data(), r.db.data());
  return r;
}

// The same from the separate operations.
template <class T>
Results<T> run_separately(CpuContext& context, const ConvBlockShape& s, const Inputs<T>& in) {
  const MaxPool2dShape pool = s.pool();
  const BiasShape bias{s.conv.batch, s.conv.out_channels, s.conv.out_height() * s.conv.out_width()};
  const auto conv = make_conv2d(context, Precision<T>(), s.conv);
  std::vector<T> z(output_count(s.conv)), dz(z.size());
  std::vector<std::uint8_t> choice(in.dy.size());
  Results<T> r{std::vector<T>(in.dy.size()), std::vector<T>(in.x.size()), std::vector<T>(in.w.size()),
               std::vector<T>(in.bias.size())};
  conv->forward(in.x.data(), in.w.data(), nullptr, z.data());
  bias_activation_forward(context, bias, Activation::relu, z.data(), in.bias.data(), z.data());
  max_pool2d_forward(context, pool, z.data(), r.y.data(), choice.data());
  max_pool2d_backward(context, pool, in.dy.data(), choice.data(), dz.data());
  activation_backward(context, static_cast<std::int64_t>(z.size()), Activation::relu, z.data(), dz.data(),
                      dz.data());
  conv->backward_weights(in.x.data(), dz.data(), r.dw.data(), r.db.data());
  conv->backward_data(in.w.data(), dz.data(), r.dx.data());
  return r;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void check_same_bits(const Results<T>& a, const Results<T>& b) {
  CHECK(same_bits(a.y, b.y));
  CHECK(same_bits(a.dx, b.dx));
  CHECK(same_bits(a.dw, b.dw));
  CHECK(same_bits(a.db, b.db));
}

// Whole numbers: every result is exact, and there are ties in the windows and zeros before ReLU.
template <class T>
void check_exact(std::unique_ptr<ConvBlock<T>> (*make)(CpuContext&, const ConvBlockShape&)) {
  CpuContext context(2);
  for (const ConvBlockShape& s : kShapes) {
    const Inputs<T> in = whole_inputs<T>(s);
    const std::unique_ptr<ConvBlock<T>> block = make(context, s);
    CAPTURE(text(s), block->algorithm());
    const Results<T> r = run(*block, in);

    const auto x = to_f64(in.x), w = to_f64(in.w);
    const BiasShape bias{s.conv.batch, s.conv.out_channels, s.conv.out_height() * s.conv.out_width()};
    const auto z =
        reference_bias_activation(bias, Activation::relu, reference_conv(s.conv, x, w, {}), to_f64(in.bias));
    const Pooled pooled = reference_max_pool(s.pool(), z);
    CHECK((to_f64(r.y) == pooled.y));
    auto dz = reference_max_pool_backward(s.pool(), to_f64(in.dy), pooled.choice);
    for (std::size_t i = 0; i < dz.size(); ++i) dz[i] = z[i] > 0 ? dz[i] : 0;
    const ConvGradients g = reference_conv_backward(s.conv, x, w, dz);
    CHECK((to_f64(r.dx) == g.dx));
    CHECK((to_f64(r.dw) == g.dw));
    CHECK((to_f64(r.db) == g.db));
  }
}

}  // namespace

TEST_CASE("conv_block: f32 equals the reference on whole numbers") { check_exact<float>(planned<float>); }
TEST_CASE("conv_block: f64 equals the reference on whole numbers") { check_exact<double>(planned<double>); }
TEST_CASE("conv_block: plain f32 equals the reference on whole numbers") { check_exact<float>(plain<float>); }

TEST_CASE("conv_block: has the bits of convolution, bias, ReLU and max-pool run one after the other") {
  CpuContext context(2);
  for (const ConvBlockShape& s : kShapes) {
    CAPTURE(text(s));
    const auto in = fractional_inputs<float>(s);
    check_same_bits(run(*make_conv_block(context, Precision<float>(), s), in),
                    run_separately(context, s, in));
    const auto in64 = fractional_inputs<double>(s);
    check_same_bits(run(*make_conv_block(context, Precision<double>(), s), in64),
                    run_separately(context, s, in64));
  }
}

TEST_CASE("conv_block: NaN and infinity pass as through the separate operations") {
  CpuContext context(2);
  const ConvBlockShape s{{2, 3, 9, 8, 10, 3, 3, 1, 1}, 2};
  auto in = fractional_inputs<float>(s);
  in.x[40] = std::numeric_limits<float>::quiet_NaN();
  in.x[100] = std::numeric_limits<float>::infinity();
  in.bias[4] = -std::numeric_limits<float>::infinity();
  const auto block = make_conv_block(context, Precision<float>(), s);
  std::vector<float> y(in.dy.size());
  block->forward(in.x.data(), in.w.data(), in.bias.data(), y.data());
  const Results<float> separate = run_separately(context, s, in);
  int nans = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    CAPTURE(i, y[i], separate.y[i]);
    CHECK((std::isnan(y[i]) ? std::isnan(separate.y[i]) : y[i] == separate.y[i]));
    nans += std::isnan(y[i]);
  }
  CHECK(nans > 0);
}

TEST_CASE("conv_block: layouts between blocks do not change a bit") {
  CpuContext context(3);
  constexpr std::int64_t kMiddle = 32;
  const Layout between = preferred_layout(context, Precision<float>(), kMiddle);
  const Conv2dShape conv1{21, 3, 12, 13, kMiddle, 3, 3, 1, 1}, conv2{21, kMiddle, 6, 6, 16, 3, 3, 1, 1};
  const ConvBlockShape plain1{conv1, 2}, plain2{conv2, 2};
  const auto in1 = fractional_inputs<float>(plain1);
  auto in2 = fractional_inputs<float>(plain2);
  const auto chain = [&](Layout layout) {
    const auto block1 = make_conv_block(context, Precision<float>(), {conv1, 2, Layout::plain, layout});
    const auto block2 = make_conv_block(context, Precision<float>(), {conv2, 2, layout, Layout::plain});
    std::vector<float> middle(pooled_count(plain1)), d_middle(middle.size());
    Results<float> first{{},
                         std::vector<float>(in1.x.size()),
                         std::vector<float>(in1.w.size()),
                         std::vector<float>(in1.bias.size())};
    Results<float> second{std::vector<float>(in2.dy.size()),
                          {},
                          std::vector<float>(in2.w.size()),
                          std::vector<float>(in2.bias.size())};
    block1->forward(in1.x.data(), in1.w.data(), in1.bias.data(), middle.data());
    block2->forward(middle.data(), in2.w.data(), in2.bias.data(), second.y.data());
    block2->backward(middle.data(), in2.w.data(), in2.dy.data(), d_middle.data(), second.dw.data(),
                     second.db.data());
    block1->backward(in1.x.data(), in1.w.data(), d_middle.data(), first.dx.data(), first.dw.data(),
                     first.db.data());
    return std::pair(first, second);
  };
  const auto plain = chain(Layout::plain), blocked = chain(between);
  check_same_bits(plain.first, blocked.first);
  check_same_bits(plain.second, blocked.second);
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
      const Inputs<float> whole = whole_inputs<float>(s);
      const Results<float> expected = run(*plain<float>(context, s), whole);
      check_same_bits(run(*make_conv_block(context, Precision<float>(), s), whole), expected);
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
      Inputs<float> in_layouts = whole;
      in_layouts.x = relaid(whole.x, in, from, false);
      in_layouts.dy = relaid(whole.dy, out, to, false);
      Results<float> there =
          run(*make_conv_block(context, Precision<float>(), {s.conv, 2, from, to}), in_layouts);
      there.y = relaid(there.y, out, to, true);
      there.dx = relaid(there.dx, in, from, true);
      check_same_bits(there, expected);
    }
  }
}

TEST_CASE("conv_block: the images' gradient is left out where it is not wanted") {
  CpuContext context(1);
  for (const ConvBlockShape& s : {kShapes[0], kShapes[4]}) {
    const auto in = fractional_inputs<float>(s);
    const auto block = make_conv_block(context, Precision<float>(), s);
    const Results<float> all = run(*block, in);
    std::vector<float> dw(in.w.size()), db(in.bias.size());
    block->backward(in.x.data(), in.w.data(), in.dy.data(), nullptr, dw.data(), db.data());
    CHECK(same_bits(dw, all.dw));
    CHECK(same_bits(db, all.db));
  }
}

TEST_CASE("conv_block: gradients agree with central differences") {
  CpuContext context(1);
  const ConvBlockShape s{{2, 2, 5, 6, 3, 3, 3, 1, 1}, 2};
  const BiasShape bias{s.conv.batch, s.conv.out_channels, s.conv.out_height() * s.conv.out_width()};
  // The kinks: a draw is used only where every window's winner is 1e-3 above zero and the runner-up, or all
  // of the window 1e-3 below zero; the differences move values by less than 1e-4.
  for (std::uint64_t seed = 100;; ++seed) {
    REQUIRE(seed < 1000);
    const Inputs<double> in{random_values<double>(input_count(s.conv), seed),
                            random_values<double>(weight_count(s.conv), seed + 1000),
                            random_values<double>(s.conv.out_channels, seed + 2000),
                            random_values<double>(pooled_count(s), seed + 3000)};
    auto z = reference_bias_activation(bias, Activation::identity, reference_conv(s.conv, in.x, in.w, {}),
                                       in.bias);
    bool clear = true;
    const Pooled winners = reference_max_pool(s.pool(), z);
    auto mark = reference_max_pool_backward(s.pool(), std::vector<double>(in.dy.size(), 1.0), winners.choice);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = mark[i] > 0 ? -1e9 : z[i];
    const Pooled runners_up = reference_max_pool(s.pool(), z);
    for (std::size_t i = 0; i < in.dy.size(); ++i) {
      clear = clear && std::abs(winners.y[i]) > 1e-3;
      clear = clear && (winners.y[i] < 0 || winners.y[i] - runners_up.y[i] > 1e-3);
    }
    if (!clear) continue;
    CAPTURE(seed);
    const auto block = make_conv_block(context, Precision<double>(), s);
    const Results<double> r = run(*block, in);
    const auto forward = [&](const std::vector<double>& x, const std::vector<double>& w,
                             const std::vector<double>& b) {
      std::vector<double> y(in.dy.size());
      block->forward(x.data(), w.data(), b.data(), y.data());
      return y;
    };
    using V = std::vector<double>;
    check_gradient([&](const V& v) { return forward(v, in.w, in.bias); }, in.x, in.dy, r.dx);
    check_gradient([&](const V& v) { return forward(in.x, v, in.bias); }, in.w, in.dy, r.dw);
    check_gradient([&](const V& v) { return forward(in.x, in.w, v); }, in.bias, in.dy, r.db);
    return;
  }
}

TEST_CASE("conv_block: the number of threads does not change a bit") {
  for (const ConvBlockShape& s :
       {ConvBlockShape{{67, 1, 14, 14, 16, 3, 3, 1, 1}, 2}, ConvBlockShape{{67, 16, 7, 7, 32, 3, 3, 1, 1}, 2},
        ConvBlockShape{{19, 5, 9, 8, 7, 3, 3, 1, 2}, 3}}) {
    CAPTURE(text(s));
    const auto in = fractional_inputs<float>(s);
    const auto in64 = fractional_inputs<double>(s);
    CpuContext one(1);
    const Results<float> first = run(*make_conv_block(one, Precision<float>(), s), in);
    const Results<double> first64 = run(*make_conv_block(one, Precision<double>(), s), in64);
    for (const int threads : {2, 3, 5}) {
      CAPTURE(threads);
      CpuContext context(threads);
      check_same_bits(run(*make_conv_block(context, Precision<float>(), s), in), first);
      check_same_bits(run(*make_conv_block(context, Precision<double>(), s), in64), first64);
    }
  }
}

TEST_CASE("conv_block: a planned block allocates nothing") {
  CpuContext context(2);
  const ConvBlockShape s{{9, 4, 8, 8, 8, 3, 3, 1, 1}, 2};
  const auto in = fractional_inputs<float>(s);
  const auto block = make_conv_block(context, Precision<float>(), s);
  const std::int64_t before = context.memory().allocation_count();
  run(*block, in);
  CHECK(context.memory().allocation_count() == before);
}

TEST_CASE("conv_block: shapes and layouts that do not fit are refused") {
  CpuContext context(1);
  const ConvBlockShape good{{2, 3, 8, 8, 5, 3, 3, 1, 1}, 2};
  const auto refused = [&](auto change, const char* part) {
    ConvBlockShape s = good;
    change(s);
    CAPTURE(text(s));
    CHECK(missing(message_of<ShapeError>([&] { make_conv_block(context, Precision<float>(), s); }), {part}) ==
          "");
    CHECK(missing(message_of<ShapeError>([&] { make_conv_block(context, Precision<double>(), s); }),
                  {part}) == "");
  };
  refused([](ConvBlockShape& s) { s.conv.batch = 0; }, "at least 1");
  refused([](ConvBlockShape& s) { s.conv.padding = 5; }, "padding");
  refused([](ConvBlockShape& s) { s.window = 0; }, "window");
  refused([](ConvBlockShape& s) { s.window = 9; }, "window");
  refused([](ConvBlockShape& s) { s.input_layout = Layout::blocked; }, "blocked");
  refused([](ConvBlockShape& s) { s.output_layout = Layout::blocked; }, "blocked");
  CHECK(preferred_layout(context, Precision<float>(), 5) == Layout::plain);
  CHECK(preferred_layout(context, Precision<double>(), 32) == Layout::plain);
}
