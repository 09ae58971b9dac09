#include "kernels/linear/linear.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/operations/layers.h"
#include "tests/support/error_message.h"
#include "tests/support/instruction_sets.h"
#include "tests/support/linear_reference.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// The network's layers; sizes around the blocks of the CPU's matrix product (6 rows, 16 or 8 columns, 256 deep)
// and of its threads' work (32 outputs, 128 inputs); and the ends: one sample, one input, one output.
const LinearShape kLinears[] = {
    {64, 300, 128, Activation::relu},  {33, 128, 10, Activation::identity}, {1, 1, 1, Activation::relu},
    {1, 257, 33, Activation::relu},    {7, 130, 1, Activation::identity},   {5, 1, 70, Activation::relu},
    {13, 31, 17, Activation::relu},    {6, 256, 16, Activation::identity},  {3, 515, 100, Activation::relu},
    {64, 3136, 128, Activation::relu}, {64, 128, 10, Activation::identity}};

std::string text(const LinearShape& s) {
  return std::to_string(s.batch) + " x " + std::to_string(s.in_features) + " -> " +
         std::to_string(s.out_features) + (s.activation == Activation::relu ? " relu" : "");
}

LayerSizes sizes(const LinearShape& s) {
  return {s.batch * s.in_features, s.out_features * s.in_features, s.out_features, s.batch * s.out_features};
}

struct PlanLinear {
  LinearShape shape;
  BackwardNeeds needs = {};
  template <class C, class T>
  auto operator()(C& context, Precision<T> precision) const {
    return make_linear(context, precision, shape, needs);
  }
  auto plain(CpuContext& context) const { return make_plain_linear<float>(context, shape); }
};

template <class C, class T>
void run(Linear<T>& linear, const LayerTensors<C, T>& on) {
  linear.forward(on.x.data(), on.w.data(), on.bias.data(), on.y.data());
  linear.backward(on.x.data(), on.w.data(), on.y.data(), on.dy.data(), on.dx.data(), on.dw.data(),
                  on.db.data());
}

template <class T>
LayerResults<T> results(CpuContext& context, Linear<T>& linear, const LayerInputs<T>& in) {
  const LayerTensors on(Device<CpuContext, T>{context}, in);
  run(linear, on);
  return on.results();
}

template <class T>
LayerResults<T> results(CpuContext& context, const LinearShape& s, const LayerInputs<T>& in) {
  return results(context, *make_linear(context, Precision<T>(), s), in);
}

// Leaves this share of the elements.
void thin(double share, std::uint64_t seed, std::vector<float>& values) {
  const std::vector<double> draws = random_values<double>(std::ssize(values), seed, 0, 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (draws[i] >= share) values[i] = 0;
  }
}

LinearReference reference(const LinearShape& s, const LayerInputs<double>& in, const Numbers& y) {
  return reference_linear(s, in.x, in.w, in.bias, in.dy, y);
}

}  // namespace

// Every result is exact, so nothing but a right sum passes, and some sums before ReLU are zero. TF32's are not
// promised to be.
TEST_CASE("linear: values and gradients equal the reference on whole numbers", "[plans]") {
  Devices devices;
  for (const LinearShape& s : kLinears) {
    CAPTURE(text(s));
    devices.each_plan(PlanLinear{s}, [&](auto& device, auto& linear) {
      using T = typename std::decay_t<decltype(device)>::Number;
      if (device.has_tf32()) return;
      const LayerInputs<T> in = whole_inputs<T>(sizes(s));
      const LayerTensors on(device, in);
      run(linear, on);
      const LayerResults<T> r = on.results();
      const LinearReference expected = reference(s, to_f64(in), to_f64(r.y));
      CHECK((to_f64(r.y) == expected.y));
      CHECK((to_f64(r.dx) == expected.dx));
      CHECK((to_f64(r.dw) == expected.dw));
      CHECK((to_f64(r.db) == expected.db));

      LayerInputs<double> unbiased = to_f64(in);
      unbiased.bias.clear();
      const auto y = device.template unwritten<T>(sizes(s).dy), dw = device.template unwritten<T>(sizes(s).w);
      linear.forward(on.x.data(), on.w.data(), nullptr, y.data());
      linear.backward(on.x.data(), on.w.data(), y.data(), on.dy.data(), nullptr, dw.data(), nullptr);
      const LinearReference without = reference(s, unbiased, to_f64(y.values()));
      CHECK((to_f64(y.values()) == without.y));
      CHECK((to_f64(dw.values()) == without.dw));
    });
  }
}

TEST_CASE("linear: values and gradients agree with f64 with a bias and without", "[plans]") {
  Devices devices;
  for (const LinearShape& s : kLinears) {
    CAPTURE(text(s));
    devices.each_plan(PlanLinear{s}, [&](auto& device, auto& linear) {
      using T = typename std::decay_t<decltype(device)>::Number;
      const LayerInputs<T> in = fractional_inputs<T>(sizes(s));
      const LayerTensors on(device, in);
      run(linear, on);
      const LayerResults<T> r = on.results();
      const Numbers mask = to_f64(r.y);
      const LinearReference expected = reference(s, to_f64(in), mask),
                            magnitude = reference(s, magnitudes(in), mask);
      check_products(device, r.y, expected.y, magnitude.y, s.in_features + 1);
      check_products(device, r.dx, expected.dx, magnitude.dx, s.out_features);
      check_products(device, r.dw, expected.dw, magnitude.dw, s.batch);
      check_products(device, r.db, expected.db, magnitude.db, s.batch);

      const auto y = device.template unwritten<T>(sizes(s).dy);
      linear.forward(on.x.data(), on.w.data(), nullptr, y.data());
      LayerInputs<double> unbiased = to_f64(in);
      unbiased.bias.clear();
      check_products(device, y.values(), reference(s, unbiased, mask).y, magnitude.y, s.in_features);
    });
  }
}

TEST_CASE("linear: a NaN passes ReLU, so that it is noticed", "[plans]") {
  const LinearShape s{4, 8, 8, Activation::relu};
  Devices devices;
  devices.each_plan(PlanLinear{s}, [&](auto& device, auto& linear) {
    using T = typename std::decay_t<decltype(device)>::Number;
    LayerInputs<T> in = fractional_inputs<T>(sizes(s));
    in.x[9] = std::numeric_limits<T>::quiet_NaN();
    const LayerTensors on(device, in);
    linear.forward(on.x.data(), on.w.data(), on.bias.data(), on.y.data());
    const std::vector<T> y = on.y.values();
    for (std::size_t i = 0; i < y.size(); ++i) {
      CAPTURE(i, y[i]);
      CHECK(std::isnan(y[i]) == (i / 8 == 1));
    }
  });
}

TEST_CASE("linear: gradients agree with central differences") {
  CpuContext context(1);
  for (const Activation activation : {Activation::identity, Activation::relu}) {
    const LinearShape s{4, 7, 5, activation};
    const auto linear = make_linear(context, Precision<double>(), s);
    for (std::uint64_t seed = 50;; seed += 10) {
      REQUIRE(seed < 1000);
      const LayerInputs<double> in{random_values<double>(28, seed), random_values<double>(35, seed + 1),
                                   random_values<double>(5, seed + 2), random_values<double>(20, seed + 3)};
      // ReLU's kink: no sum nearer to it than 1e-3; the differences move sums by less than 1e-4.
      bool clear = true;
      for (const double z : reference({4, 7, 5, Activation::identity}, in, {}).y)
        clear = clear && std::abs(z) > 1e-3;
      if (!clear) continue;
      CAPTURE(seed, text(s));
      const LayerResults<double> r = results(context, s, in);
      const auto forward = [&](const Numbers& x, const Numbers& w, const Numbers& bias) {
        Numbers y(in.dy.size());
        linear->forward(x.data(), w.data(), bias.data(), y.data());
        return y;
      };
      check_gradient([&](const Numbers& v) { return forward(v, in.w, in.bias); }, in.x, in.dy, r.dx);
      check_gradient([&](const Numbers& v) { return forward(in.x, v, in.bias); }, in.w, in.dy, r.dw);
      check_gradient([&](const Numbers& v) { return forward(in.x, in.w, v); }, in.bias, in.dy, r.db);
      break;
    }
  }
}

TEMPLATE_TEST_CASE("linear: the number of threads does not change a bit", "", float, double) {
  for (const LinearShape& s : {LinearShape{67, 700, 130, Activation::relu}, LinearShape{5, 128, 10}}) {
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

// Sizes around the panels and blocks of the product that leaves zeros out (64 and 128 columns, 64 deep) and its
// groups of 64 images.
TEST_CASE("linear: many zeros change no bit on the CPU") {
  for (const LinearShape& s :
       {LinearShape{64, 3136, 128, Activation::relu}, LinearShape{1, 64, 64, Activation::identity},
        LinearShape{131, 300, 65, Activation::relu}, LinearShape{70, 127, 200, Activation::identity},
        LinearShape{65, 129, 321, Activation::relu}}) {
    for (const double share : {0.0, 0.02, 0.3, 0.45, 0.9}) {
      LayerInputs<float> in = fractional_inputs<float>(sizes(s));
      thin(share, 11, in.x);
      thin(share, 12, in.dy);
      CpuContext one(1, InstructionSet::baseline);
      const LayerResults<float> dense = results(one, *make_plain_linear<float>(one, s), in);
      for (const InstructionSet set : instruction_sets()) {
        for (const int threads : {1, 3}) {
          CAPTURE(text(s), share, name(set), threads);
          CpuContext context(threads, set);
          check_same_bits(results(context, s, in), dense);
        }
      }
    }
  }
}

TEST_CASE("linear: on the CPU a zero among many adds nothing, whatever it meets") {
  const LinearShape s{9, 64, 70, Activation::identity};
  LayerInputs<float> in = fractional_inputs<float>(sizes(s));
  for (std::size_t n = 0; n < 9; ++n) {
    for (std::size_t k = 0; k < 64; k += 2) in.x[n * 64 + k] = 0;
    for (std::size_t o = 0; o < 70; o += 2) in.dy[n * 70 + o] = 0;
  }
  // Weights of an input that is zero and of an output without gradient.
  const float infinity = std::numeric_limits<float>::infinity();
  in.w[3 * 64 + 2] = infinity;
  in.w[4 * 64 + 5] = infinity;
  CpuContext context(1);
  const LayerResults<float> r = results(context, s, in);
  for (std::size_t i = 0; i < r.y.size(); ++i) CHECK(std::isfinite(r.y[i]) == (i % 70 != 4));
  for (std::size_t i = 0; i < r.dx.size(); ++i) CHECK(std::isfinite(r.dx[i]) == (i % 64 != 2));
}

TEST_CASE("linear: a planned layer allocates nothing", "[plans]") {
  Devices devices;
  devices.each_plan(PlanLinear{kLinears[0]}, [&](auto& device, auto& linear) {
    using T = typename std::decay_t<decltype(device)>::Number;
    LayerInputs<T> in = fractional_inputs<T>(sizes(kLinears[0]));
    for (std::size_t i = 0; i < in.x.size(); i += i % 3 + 1) in.x[i] = 0;  // two thirds: zeros are left out
    const LayerTensors on(device, in);
    const std::int64_t before = device.context.memory().allocation_count();
    run(linear, on);
    CHECK(device.context.memory().allocation_count() == before);
  });
}

TEST_CASE("linear: a layer is planned with less workspace where memory is short", "[plans]") {
  Devices devices;
  devices.each_library([&](auto& device) {
    using T = typename std::decay_t<decltype(device)>::Number;
    if (device.has_tf32()) return;  // what its algorithms take was not measured
    device.context.memory().set_limit(13 << 20);
    CHECK_NOTHROW(make_linear(device.context, Precision<T>(), {64, 3136, 128, Activation::relu}));
    device.context.memory().set_limit(0);
  });
}

TEST_CASE("linear: a gradient that was not planned is refused", "[plans]") {
  Devices devices;
  devices.each_gpu_library([&](auto& device) {  // on the CPU nothing has to be left out
    for (const LinearShape& s : {kLinears[0], LinearShape{64, 128, 10}}) {
      const auto linear =
          make_linear(device.context, Precision<float>(), s, {.data = false, .weights = false});
      CAPTURE(linear->algorithm());
      CHECK_THROWS_AS(linear->backward(nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
                      std::logic_error);
    }
  });
}

TEST_CASE("linear: shapes that do not fit are refused", "[plans]") {
  Devices devices;
  const auto refused = [&](const LinearShape& s, const char* part) {
    CAPTURE(text(s));
    CHECK(missing(message_of<ShapeError>([&] { check(s); }), {part}) == "");
    devices.each_library([&](auto& device) {
      using T = typename std::decay_t<decltype(device)>::Number;
      CHECK_THROWS_AS(make_linear(device.context, Precision<T>(), s), ShapeError);
    });
  };
  refused({0, 3, 4}, "at least 1");
  refused({2, 0, 4}, "at least 1");
  refused({2, 3, -1}, "at least 1");
  refused({2, 3, 4, Activation::tanh}, "identity and relu");
  refused({2, 3, 4, Activation::sigmoid}, "identity and relu");
}
