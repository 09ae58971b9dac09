#include "kernels/conv2d/conv2d.h"

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/build_config.h"
#include "base/error.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/error_message.h"
#include "tests/support/numbers.h"
#include "tests/support/onednn_speed.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// {batch, in channels, height, width, out channels, kernel height, kernel width, padding, stride}: the
// network's two layers, then odd sizes, channels that fill no whole block, kernels 1, 2, 3 and 5, images
// that leave rows and columns over, batches cut into uneven chunks.
const Conv2dShape kShapes[] = {
    {3, 1, 28, 28, 32, 3, 3, 1, 1}, {2, 32, 14, 14, 64, 3, 3, 1, 1}, {2, 3, 32, 32, 16, 3, 3, 1, 1},
    {17, 2, 7, 9, 5, 3, 3, 1, 1},   {3, 5, 8, 7, 9, 3, 3, 0, 1},     {1, 16, 6, 6, 8, 1, 1, 0, 1},
    {3, 8, 9, 5, 16, 5, 5, 2, 1},   {2, 1, 11, 10, 7, 5, 5, 2, 2},   {17, 17, 5, 6, 33, 2, 2, 1, 1},
    {3, 4, 9, 9, 8, 2, 2, 0, 2},    {1, 16, 10, 11, 24, 3, 3, 1, 2}, {2, 3, 8, 6, 4, 3, 5, 1, 2},
    {1, 1, 1, 1, 1, 1, 1, 0, 1},    {5, 1, 4, 4, 1, 4, 4, 0, 1},     {35, 8, 12, 12, 8, 3, 3, 1, 1}};

std::string text(const Conv2dShape& s) {
  std::string t;
  for (const std::int64_t v : {s.batch, s.in_channels, s.in_height, s.in_width, s.out_channels,
                               s.kernel_height, s.kernel_width, s.padding, s.stride})
    t += std::to_string(v) + " ";
  return t;
}

template <class T>
using Make = std::unique_ptr<Conv2d<T>> (*)(CpuContext&, const Conv2dShape&);

// With every gradient; as a function without default arguments.
template <class T>
std::unique_ptr<Conv2d<T>> planned(CpuContext& context, const Conv2dShape& shape) {
  return make_conv2d(context, Precision<T>(), shape);
}

template <class T>
std::unique_ptr<Conv2d<T>> plain(CpuContext& context, const Conv2dShape& shape) {
  return make_plain_conv2d<T>(context, shape);
}

template <class T>
struct Results {
  std::vector<T> y, dx, dw, db;
};

// All four results, over buffers that hold NaN beforehand.
template <class T>
Results<T> run(Conv2d<T>& conv, const std::vector<T>& x, const std::vector<T>& w, const std::vector<T>& bias,
               const std::vector<T>& dy) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Results<T> r{std::vector<T>(dy.size(), nan), std::vector<T>(x.size(), nan), std::vector<T>(w.size(), nan),
               std::vector<T>(bias.size(), nan)};
  conv.forward(x.data(), w.data(), bias.data(), r.y.data());
  conv.backward_data(w.data(), dy.data(), r.dx.data());
  conv.backward_weights(x.data(), dy.data(), r.dw.data(), r.db.data());
  return r;
}

// Whole numbers: every result is exact, so nothing but a right sum passes.
template <class T>
void check_exact(Make<T> make) {
  CpuContext context(2);
  for (const Conv2dShape& s : kShapes) {
    const auto x = random_integers<T>(input_count(s), 1), w = random_integers<T>(weight_count(s), 2),
               bias = random_integers<T>(s.out_channels, 3), dy = random_integers<T>(output_count(s), 4);
    const auto conv = make(context, s);
    CAPTURE(text(s), conv->algorithm());
    const Results<T> r = run(*conv, x, w, bias, dy);
    CHECK((to_f64(r.y) == reference_conv(s, to_f64(x), to_f64(w), to_f64(bias))));
    const ConvGradients g = reference_conv_backward(s, to_f64(x), to_f64(w), to_f64(dy));
    CHECK((to_f64(r.dx) == g.dx));
    CHECK((to_f64(r.dw) == g.dw));
    CHECK((to_f64(r.db) == g.db));

    std::vector<T> y(r.y.size(), T(7)), dw(w.size(), T(7));
    conv->forward(x.data(), w.data(), nullptr, y.data());
    CHECK((to_f64(y) == reference_conv(s, to_f64(x), to_f64(w), {})));
    conv->backward_weights(x.data(), dy.data(), dw.data(), nullptr);
    CHECK((to_f64(dw) == g.dw));
  }
}

// Fractions: inputs below 1 make partial sums of the order of sqrt(n), each rounded to its own unit, so a sum
// of n products stays within 2n units of 1 (one left-out product would be of the order of 1).
template <class T>
void check_rounded(Make<T> make) {
  CpuContext context(2);
  const double unit = std::numeric_limits<T>::epsilon();
  for (const Conv2dShape& s : kShapes) {
    const auto x = random_values<T>(input_count(s), 5), w = random_values<T>(weight_count(s), 6),
               bias = random_values<T>(s.out_channels, 7), dy = random_values<T>(output_count(s), 8);
    const auto conv = make(context, s);
    CAPTURE(text(s), conv->algorithm());
    const Results<T> r = run(*conv, x, w, bias, dy);
    const std::int64_t taps = s.kernel_height * s.kernel_width, pixels = s.out_height() * s.out_width();
    check_close(r.y, reference_conv(s, to_f64(x), to_f64(w), to_f64(bias)), 0,
                unit * static_cast<double>(s.in_channels * taps + 1));
    const ConvGradients g = reference_conv_backward(s, to_f64(x), to_f64(w), to_f64(dy));
    check_close(r.dx, g.dx, 0, unit * static_cast<double>(s.out_channels * taps));
    check_close(r.dw, g.dw, 0, unit * static_cast<double>(s.batch * pixels));
    check_close(r.db, g.db, 0, unit * static_cast<double>(s.batch * pixels));
  }
}

}  // namespace

TEST_CASE("conv2d: f32 equals the reference on whole numbers") { check_exact<float>(planned<float>); }
TEST_CASE("conv2d: f64 equals the reference on whole numbers") { check_exact<double>(planned<double>); }
TEST_CASE("conv2d: plain f32 equals the reference on whole numbers") { check_exact<float>(plain<float>); }
TEST_CASE("conv2d: f32 rounds like f32") {
  check_rounded<float>(planned<float>);
  check_rounded<float>(plain<float>);
}
TEST_CASE("conv2d: f64 rounds like f64") { check_rounded<double>(planned<double>); }

TEST_CASE("conv2d: gradients agree with central differences") {
  CpuContext context(1);
  for (const Conv2dShape& s :
       {Conv2dShape{2, 2, 5, 6, 3, 3, 3, 1, 1}, Conv2dShape{1, 3, 7, 5, 2, 2, 3, 0, 2}}) {
    CAPTURE(text(s));
    const auto x = random_values<double>(input_count(s), 11), w = random_values<double>(weight_count(s), 12),
               bias = random_values<double>(s.out_channels, 13),
               dy = random_values<double>(output_count(s), 14);
    const auto conv = make_conv2d(context, Precision<double>(), s);
    const Results<double> r = run(*conv, x, w, bias, dy);
    const auto forward = [&](const std::vector<double>& x_, const std::vector<double>& w_,
                             const std::vector<double>& bias_) {
      std::vector<double> y(dy.size());
      conv->forward(x_.data(), w_.data(), bias_.data(), y.data());
      return y;
    };
    check_gradient([&](const std::vector<double>& v) { return forward(v, w, bias); }, x, dy, r.dx);
    check_gradient([&](const std::vector<double>& v) { return forward(x, v, bias); }, w, dy, r.dw);
    check_gradient([&](const std::vector<double>& v) { return forward(x, w, v); }, bias, dy, r.db);
  }
}

namespace {

template <class T>
void check_threads(const Conv2dShape& s) {
  const auto x = random_values<T>(input_count(s), 21), w = random_values<T>(weight_count(s), 22),
             bias = random_values<T>(s.out_channels, 23), dy = random_values<T>(output_count(s), 24);
  Results<T> first;
  for (const int threads : {1, 2, 3, 5}) {
    CpuContext context(threads);
    const auto conv = make_conv2d(context, Precision<T>(), s);
    const Results<T> r = run(*conv, x, w, bias, dy);
    if (threads == 1) first = r;
    CAPTURE(text(s), threads, conv->algorithm());
    CHECK((r.y == first.y));
    CHECK((r.dx == first.dx));
    CHECK((r.dw == first.dw));
    CHECK((r.db == first.db));
  }
}

}  // namespace

TEST_CASE("conv2d: the number of threads does not change a bit") {
  for (const Conv2dShape& s :
       {Conv2dShape{67, 1, 14, 14, 16, 3, 3, 1, 1}, Conv2dShape{67, 16, 7, 7, 32, 3, 3, 1, 1},
        Conv2dShape{19, 5, 9, 8, 7, 3, 3, 1, 2}}) {
    check_threads<float>(s);
    check_threads<double>(s);
  }
}

TEST_CASE("conv2d: a planned convolution allocates nothing") {
  CpuContext context(2);
  const Conv2dShape s{9, 4, 8, 8, 8, 3, 3, 1, 1};
  const std::vector<float> x(input_count(s), 1), w(weight_count(s), 1), bias(8, 1), dy(output_count(s), 1);
  for (const Make<float> make : {&planned<float>, &plain<float>}) {
    const auto conv = make(context, s);
    const std::int64_t before = context.memory().allocation_count();
    run(*conv, x, w, bias, dy);
    CHECK(context.memory().allocation_count() == before);
  }
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

TEST_CASE("conv2d: shapes that do not fit are refused") {
  CpuContext context(1);
  const Conv2dShape good{2, 3, 8, 8, 4, 3, 3, 1, 1};
  check(good);
  const auto refused = [&](auto change, const char* part) {
    Conv2dShape s = good;
    change(s);
    CAPTURE(text(s));
    CHECK(missing(message_of<ShapeError>([&] { check(s); }), {part}) == "");
    CHECK_THROWS_AS(make_conv2d(context, Precision<float>(), s), ShapeError);
    CHECK_THROWS_AS(make_conv2d(context, Precision<double>(), s), ShapeError);
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
