// f64 reference of the fully connected layer, written from the definition.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/linear/linear.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

namespace qmse::test {

struct LinearReference {
  Numbers y, dx, dw, db;
};

// `mask`: where ReLU passed, from the y under test, so that a value next to zero cannot be on two sides.
// An empty bias is none.
inline LinearReference reference_linear(const LinearShape& s, const Numbers& x, const Numbers& w,
                                        const Numbers& bias, const Numbers& dy, const Numbers& mask) {
  const auto n = static_cast<std::size_t>(s.batch), in = static_cast<std::size_t>(s.in_features),
             out = static_cast<std::size_t>(s.out_features);
  const bool relu = s.activation == Activation::relu;
  LinearReference r{Numbers(n * out), Numbers(n * in), Numbers(out * in), Numbers(out)};
  for (std::size_t row = 0; row < n; ++row) {
    for (std::size_t o = 0; o < out; ++o) {
      double y = bias.empty() ? 0 : bias[o];
      for (std::size_t i = 0; i < in; ++i) y += x[row * in + i] * w[o * in + i];
      r.y[row * out + o] = relu ? std::max(y, 0.0) : y;
      const double g = relu && !(mask[row * out + o] > 0) ? 0.0 : dy[row * out + o];
      r.db[o] += g;
      for (std::size_t i = 0; i < in; ++i) {
        r.dx[row * in + i] += g * w[o * in + i];
        r.dw[o * in + i] += g * x[row * in + i];
      }
    }
  }
  return r;
}

}  // namespace qmse::test
