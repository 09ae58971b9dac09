#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/bias_activation/bias_activation.h"
#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "tests/operations/devices.h"
#include "tests/support/numbers.h"
#include "tests/support/pool_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

// This and the next are unused where there is no GPU of any kind.
[[maybe_unused]] bool same_but_for_nans(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (!both_nan && (a[i] != b[i] || std::signbit(a[i]) != std::signbit(b[i]))) return false;
  }
  return true;
}

// Against f64 sums of dx. A thread adds up to 16 numbers in f32, all else is f64.
[[maybe_unused]] void check_bias_gradient(const BiasShape& shape, const std::vector<float>& dx,
                                          const std::vector<float>& db) {
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    double expected = 0, magnitude = 0;
    for (std::int64_t n = 0; n < shape.batch; ++n) {
      for (std::int64_t i = 0; i < shape.inner; ++i) {
        const double term = dx[static_cast<std::size_t>((n * shape.channels + c) * shape.inner + i)];
        expected += term;
        magnitude += std::abs(term);
      }
    }
    CAPTURE(c);
    CHECK(std::abs(db[static_cast<std::size_t>(c)] - expected) <= 16 * 0x1p-24 * magnitude);
  }
}

}  // namespace

TEST_CASE("bias_relu_max_pool: values and gradients are those of the separate kernels, bit for bit") {
  Devices devices;
  for (const MaxPool2dShape& shape : kPoolShapes) {
    for (const bool with_nan : {false, true}) {
      CAPTURE(shape.batch, shape.channels, shape.in_height, shape.in_width, shape.window, with_nan);
      const std::vector<float> images = images_with_ties(shape, with_nan);
      // Biases that make ties of sums, sums of zero and, the last channel's, whole windows where
      // nothing passes.
      std::vector<float> shifts;
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        shifts.push_back(c + 1 == shape.channels ? -2.0f : 1e-3f);
      }
      const BiasShape flat{shape.batch, shape.channels, shape.in_height * shape.in_width};
      devices.each_gpu(inputs(shape), [&](auto& device) {
        auto& context = device.context;
        const auto x = device.array(images), bias = device.array(shifts);
        const auto dy = device.array(random_values<float>(outputs(shape), 3));
        const auto images_there = [&] { return device.template unwritten<float>(inputs(shape)); };
        const auto activated = images_there(), d_activated = images_there(), dx = images_there();
        const auto y = device.template unwritten<float>(outputs(shape));
        const auto choice = device.template unwritten<std::uint8_t>(outputs(shape), 99);
        bias_activation_forward(context, flat, Activation::relu, x.data(), bias.data(), activated.data());
        max_pool2d_forward(context, shape, activated.data(), y.data(), choice.data());
        max_pool2d_backward(context, shape, dy.data(), choice.data(), d_activated.data());
        activation_backward(context, inputs(shape), Activation::relu, activated.data(), d_activated.data(),
                            dx.data());

        const auto fused_y = device.template unwritten<float>(outputs(shape));
        const auto fused_choice = device.template unwritten<std::uint8_t>(outputs(shape), 99);
        bias_relu_max_pool_forward(context, shape, x.data(), bias.data(), fused_y.data(),
                                   fused_choice.data());
        const auto db = device.template unwritten<float>(shape.channels);
        const auto partials = device.template unwritten<double>(pool_backward_partials(shape));
        const auto fused_dx = images_there(), no_db_dx = images_there();
        bias_relu_max_pool_backward(context, shape, dy.data(), fused_choice.data(), fused_dx.data(),
                                    db.data(), partials.data());
        bias_relu_max_pool_backward(context, shape, dy.data(), fused_choice.data(), no_db_dx.data(), nullptr,
                                    nullptr);
        CHECK(same_but_for_nans(no_db_dx.values(), fused_dx.values()));
        check_bias_gradient(flat, dx.values(), db.values());
        CHECK(same_but_for_nans(fused_y.values(), y.values()));
        CHECK(same_but_for_nans(fused_dx.values(), dx.values()));
        const std::vector<float> y_here = y.values();
        const std::vector<std::uint8_t> apart = choice.values(), fused = fused_choice.values();
        for (std::size_t i = 0; i < y_here.size(); ++i) {
          const int expected = y_here[i] == 0 ? kNothingPassed : apart[i];
          if (fused[i] != expected) {
            CAPTURE(i, y_here[i], int{fused[i]}, expected);
            FAIL_CHECK("another choice than the separate kernels'");
          }
        }
      });
    }
  }
}
