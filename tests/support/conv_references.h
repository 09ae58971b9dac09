// f64 references of the convolution, written from the definitions.
#pragma once

#include <cstdint>
#include <string>
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

inline std::string text(const Conv2dShape& s) {
  std::string t;
  for (const std::int64_t v : {s.batch, s.in_channels, s.in_height, s.in_width, s.out_channels,
                               s.kernel_height, s.kernel_width, s.padding, s.stride}) {
    t += std::to_string(v) + " ";
  }
  return t;
}

// Calls product(y index, x index, w index) for every product x * w that goes into an output y; those of one
// output in the order of the input's channels, rows and columns. The columns of outputs are innermost, so
// that indices count up: the references are most of what the tests of convolutions take.
template <class Product>
void for_conv_products(const Conv2dShape& s, const Product& product) {
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t o = 0; o < s.out_channels; ++o)
      for (std::int64_t i = 0; i < s.in_channels; ++i)
        for (std::int64_t kh = 0; kh < s.kernel_height; ++kh)
          for (std::int64_t kw = 0; kw < s.kernel_width; ++kw)
            for (std::int64_t oh = 0; oh < s.out_height(); ++oh) {
              const std::int64_t h = oh * s.stride - s.padding + kh;
              if (h < 0 || h >= s.in_height) continue;
              const std::int64_t y_row = ((n * s.out_channels + o) * s.out_height() + oh) * s.out_width(),
                                 x_row = ((n * s.in_channels + i) * s.in_height + h) * s.in_width,
                                 w_at =
                                     ((o * s.in_channels + i) * s.kernel_height + kh) * s.kernel_width + kw;
              for (std::int64_t ow = 0; ow < s.out_width(); ++ow) {
                const std::int64_t column = ow * s.stride - s.padding + kw;
                if (column < 0 || column >= s.in_width) continue;
                product(static_cast<std::size_t>(y_row + ow), static_cast<std::size_t>(x_row + column),
                        static_cast<std::size_t>(w_at));
              }
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

}  // namespace qmse::test
