// f64 references of the convolution and the fully connected layer, written from the definitions.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "tests/support/numbers.h"

namespace qmse::test {

inline std::int64_t input_count(const Conv2dShape& s) {
  return s.batch * s.in_channels * s.in_height * s.in_width;
}
inline std::int64_t weight_count(const Conv2dShape& s) {
  return s.out_channels * s.in_channels * s.kernel_height * s.kernel_width;
}
inline std::int64_t output_count(const Conv2dShape& s) {
  return s.batch * s.out_channels * s.out_height() * s.out_width();
}

// Calls product(y index, x index, w index) for every product x * w that goes into an output y.
template <class Product>
void for_conv_products(const Conv2dShape& s, const Product& product) {
  const auto at = [](std::int64_t a, std::int64_t b, std::int64_t nb, std::int64_t c, std::int64_t nc,
                     std::int64_t d,
                     std::int64_t nd) { return static_cast<std::size_t>(((a * nb + b) * nc + c) * nd + d); };
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t o = 0; o < s.out_channels; ++o)
      for (std::int64_t oh = 0; oh < s.out_height(); ++oh)
        for (std::int64_t ow = 0; ow < s.out_width(); ++ow)
          for (std::int64_t i = 0; i < s.in_channels; ++i)
            for (std::int64_t kh = 0; kh < s.kernel_height; ++kh)
              for (std::int64_t kw = 0; kw < s.kernel_width; ++kw) {
                const std::int64_t h = oh * s.stride - s.padding + kh, w = ow * s.stride - s.padding + kw;
                if (h < 0 || h >= s.in_height || w < 0 || w >= s.in_width) continue;
                product(at(n, o, s.out_channels, oh, s.out_height(), ow, s.out_width()),
                        at(n, i, s.in_channels, h, s.in_height, w, s.in_width),
                        at(o, i, s.in_channels, kh, s.kernel_height, kw, s.kernel_width));
              }
}

inline std::vector<double> reference_conv(const Conv2dShape& s, const std::vector<double>& x,
                                          const std::vector<double>& w, const std::vector<double>& bias) {
  std::vector<double> y(static_cast<std::size_t>(output_count(s)), 0.0);
  for_conv_products(s, [&](std::size_t yi, std::size_t xi, std::size_t wi) { y[yi] += x[xi] * w[wi]; });
  const std::size_t pixels = static_cast<std::size_t>(s.out_height() * s.out_width());
  for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i) y[i] += bias[i / pixels % bias.size()];
  return y;
}

struct ConvGradients {
  std::vector<double> dx, dw, db;
};

inline ConvGradients reference_conv_backward(const Conv2dShape& s, const std::vector<double>& x,
                                             const std::vector<double>& w, const std::vector<double>& dy) {
  ConvGradients g{std::vector<double>(x.size(), 0.0), std::vector<double>(w.size(), 0.0),
                  std::vector<double>(static_cast<std::size_t>(s.out_channels), 0.0)};
  for_conv_products(s, [&](std::size_t yi, std::size_t xi, std::size_t wi) {
    g.dx[xi] += dy[yi] * w[wi];
    g.dw[wi] += dy[yi] * x[xi];
  });
  const std::size_t pixels = static_cast<std::size_t>(s.out_height() * s.out_width());
  for (std::size_t i = 0; i < dy.size(); ++i) g.db[i / pixels % g.db.size()] += dy[i];
  return g;
}

// Whole numbers in [-4, 4]: their products and sums are exact in f32 as long as they stay below 2^24, so that
// results can be compared exactly, whatever the order of summation.
template <class T>
std::vector<T> random_integers(std::int64_t n, std::uint64_t seed) {
  std::vector<T> values = random_values<T>(n, seed, -4.5, 4.5);
  for (T& value : values) value = std::round(value);
  return values;
}

}  // namespace qmse::test
