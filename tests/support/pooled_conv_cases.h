// Shapes and f64 references for the convolution before a 2x2 max-pool.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/conv2d/conv2d.h"
#include "tests/support/catch.h"
#include "tests/support/conv_references.h"
#include "tests/support/numbers.h"

namespace qmse::test {

// {batch, in channels, height, width, out channels, 3, 3, 1, 1}: few and many input channels, more than a
// warp of them, output channels that fill no block, rows and columns left over, images in bands, batches of
// several splits.
inline const Conv2dShape kPooledConvs[] = {
    {2, 1, 6, 6, 3, 3, 3, 1, 1},    {1, 3, 7, 9, 9, 3, 3, 1, 1},    {3, 4, 5, 4, 17, 3, 3, 1, 1},
    {2, 2, 2, 2, 1, 3, 3, 1, 1},    {2, 5, 6, 6, 9, 3, 3, 1, 1},    {1, 33, 4, 6, 3, 3, 3, 1, 1},
    {3, 8, 14, 14, 17, 3, 3, 1, 1}, {1, 6, 6, 40, 3, 3, 3, 1, 1},   {2, 5, 3, 2, 2, 3, 3, 1, 1},
    {1, 7, 27, 15, 2, 3, 3, 1, 1},  {130, 5, 4, 4, 20, 3, 3, 1, 1}, {70, 1, 4, 4, 9, 3, 3, 1, 1},
    {1, 5, 10, 12, 6, 3, 3, 1, 1},  {2100, 1, 2, 2, 5, 3, 3, 1, 1}, {1100, 5, 2, 2, 17, 3, 3, 1, 1}};

struct PooledConvCase {
  explicit PooledConvCase(const Conv2dShape& c)
      : conv(c),
        x(random_values<float>(input_count(c), 1)),
        w(random_values<float>(weight_count(c), 2)),
        bias(random_values<float>(c.out_channels, 3)),
        dy(random_values<float>(c.batch * c.out_channels * (c.in_height / 2) * (c.in_width / 2), 4)) {
    // About six of ten windows pass, those of some channels all and of some none.
    const auto kinds = random_values<float>(static_cast<std::int64_t>(dy.size()), 5);
    const auto windows = static_cast<std::size_t>((c.in_height / 2) * (c.in_width / 2));
    for (std::size_t i = 0; i < dy.size(); ++i) {
      const auto channel = i / windows % static_cast<std::size_t>(c.out_channels);
      const bool passes = channel % 5 == 3 || (channel % 5 != 4 && kinds[i] > -0.2f);
      choice.push_back(passes ? static_cast<std::uint8_t>(static_cast<int>(std::abs(kinds[i]) * 64) % 4)
                              : kNothingPassed);
    }
  }

  std::string text() const {
    std::string t;
    for (const std::int64_t v :
         {conv.batch, conv.in_channels, conv.in_height, conv.in_width, conv.out_channels}) {
      t += std::to_string(v) + " ";
    }
    return t;
  }

  // The gradient of the convolution's output.
  std::vector<double> dense(bool magnitude) const {
    std::vector<double> d(static_cast<std::size_t>(output_count(conv)), 0.0);
    const std::int64_t oh = conv.in_height / 2, ow = conv.in_width / 2;
    for (std::size_t i = 0; i < dy.size(); ++i) {
      if (choice[i] == kNothingPassed) continue;
      const auto at = static_cast<std::int64_t>(i);
      const std::int64_t plane = at / (oh * ow), row = at / ow % oh * 2 + choice[i] / 2,
                         column = at % ow * 2 + choice[i] % 2;
      d[static_cast<std::size_t>((plane * conv.in_height + row) * conv.in_width + column)] =
          magnitude ? std::abs(static_cast<double>(dy[i])) : static_cast<double>(dy[i]);
    }
    return d;
  }
  static std::vector<double> f64(const std::vector<float>& values, bool magnitude) {
    return magnitude ? magnitudes(values) : to_f64(values);
  }
  ConvGradients gradients(bool magnitude) const {
    return reference_conv_backward(conv, f64(x, magnitude), f64(w, magnitude), dense(magnitude));
  }

  // f32 sums of some hundred terms, in any order.
  static constexpr double kTolerance = 64 * 0x1p-24;
  void check_weights(const std::vector<float>& dw, const std::vector<float>& db) const {
    const ConvGradients expected = gradients(false), magnitude = gradients(true);
    check_sums(dw, expected.dw, magnitude.dw, kTolerance);
    check_sums(db, expected.db, magnitude.db, kTolerance);
  }
  void check_data(const std::vector<float>& dx) const {
    check_sums(dx, gradients(false).dx, gradients(true).dx, kTolerance);
  }

  // The place chosen must be one of the largest up to rounding, and nothing passes only where nothing is
  // above zero.
  void check_forward(const std::vector<float>& y, const std::vector<std::uint8_t>& chosen) const {
    const std::vector<double> z = reference_conv(conv, f64(x, false), f64(w, false), f64(bias, false)),
                              size = reference_conv(conv, f64(x, true), f64(w, true), f64(bias, true));
    const std::int64_t oh = conv.in_height / 2, ow = conv.in_width / 2;
    bool good = true;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      const auto corner = static_cast<std::size_t>(
          (at / (oh * ow) * conv.in_height + at / ow % oh * 2) * conv.in_width + at % ow * 2);
      double largest = 0, tolerance = 0, picked = 0;
      for (std::size_t place = 0; place < 4; ++place) {
        const std::size_t from = corner + place / 2 * static_cast<std::size_t>(conv.in_width) + place % 2;
        largest = std::max(largest, z[from]);
        tolerance = std::max(tolerance, kTolerance * size[from]);
        if (place == chosen[i]) picked = z[from];
      }
      good = good && (chosen[i] < 4 || chosen[i] == kNothingPassed) &&
             std::abs(y[i] - largest) <= tolerance && std::abs(picked - largest) <= tolerance &&
             (chosen[i] < 4) == (y[i] > 0);
    }
    CHECK(good);
  }

  Conv2dShape conv;
  std::vector<float> x, w, bias, dy;
  std::vector<std::uint8_t> choice;
};

}  // namespace qmse::test
