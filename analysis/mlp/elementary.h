// Elementary functions of four doubles at a time, from additions, multiplications, divisions and fused
// multiply-adds alone: their bits depend on no version of the C library, and they vectorise. Errors in units
// of the last place are below 3 (tests/analysis/elementary_test.cpp). A NaN stays one.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "kernels/cpu/simd.h"

namespace qmse {

using Double4 = Simd<double>;
typedef std::int64_t Long4 __attribute__((vector_size(32)));

inline Double4 absolute(Double4 x) {
  return reinterpret_cast<Double4>(reinterpret_cast<Long4>(x) & std::int64_t{0x7fffffffffffffff});
}

// `magnitude` >= 0 with the sign of `sign`.
inline Double4 with_sign_of(Double4 magnitude, Double4 sign) {
  return reinterpret_cast<Double4>(reinterpret_cast<Long4>(magnitude) |
                                   (reinterpret_cast<Long4>(sign) & INT64_MIN));
}

namespace detail {

// 2^k, and e^r - 1 with |r| <= ln(2)/2, where x = k ln(2) + r, for -700 <= x <= 700.
struct SplitExponential {
  Double4 power, rest;
};

inline SplitExponential split_exponential(Double4 x) {
  const Double4 shift = simd_set(0x1.8p52);
  const Double4 shifted = simd_fma(x, simd_set(0x1.71547652b82fep+0), shift);  // k in its lowest bits
  const Double4 k = shifted - shift;
  Double4 r = simd_fma(k, simd_set(-0x1.62e42fefa39efp-1), x);
  r = simd_fma(k, simd_set(-0x1.abc9e3b39803fp-56), r);
  Double4 p =
      simd_set(1.0 / 6227020800.0);  // Taylor's polynomial of degree 13: the rest is below 1e-17 of e^r - 1
  for (const double factorial :
       {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0})
    p = simd_fma(p, r, simd_set(1.0 / factorial));
  const Long4 power = reinterpret_cast<Long4>(simd_set(1.0)) + (reinterpret_cast<Long4>(shifted) << 52);
  return {reinterpret_cast<Double4>(power), simd_fma(p * r, r, r)};
}

}  // namespace detail

// e^x for x <= 0; below -700 that of -700.
inline Double4 exponential_of_negative(Double4 x) {
  const Double4 bound = simd_set(-700.0);
  const detail::SplitExponential e = detail::split_exponential(x < bound ? bound : x);
  return simd_fma(e.power, e.rest, e.power);
}

// tanh(-x) has the bits of -tanh(x).
inline Double4 hyperbolic_tangent(Double4 x) {
  const Double4 bound = simd_set(-80.0), y = -2.0 * absolute(x);
  const detail::SplitExponential e = detail::split_exponential(y < bound ? bound : y);
  const Double4 z = simd_fma(e.power, e.rest, e.power - 1.0);  // e^y - 1
  return with_sign_of(-z / (z + 2.0), x);
}

// 1 / (1 + e^-x)
inline Double4 logistic(Double4 x) {
  const Double4 e = exponential_of_negative(-absolute(x));
  const Double4 one = simd_set(1.0);
  return (x < 0.0 ? e : one) / (one + e);
}

// ln(1 + e^x)
inline Double4 softplus(Double4 x) {
  const Double4 e = exponential_of_negative(-absolute(x));
  const Double4 s = e / (e + 2.0), square = s * s;  // ln(1 + e) = 2 artanh(s), s <= 1/3
  Double4 p = simd_set(1.0 / 33.0);
  for (int odd = 31; odd >= 1; odd -= 2) p = simd_fma(p, square, simd_set(1.0 / odd));
  const Double4 zero{};
  return simd_fma(s + s, p, x > 0.0 ? x : zero) + (x != x ? x : zero);
}

}  // namespace qmse
