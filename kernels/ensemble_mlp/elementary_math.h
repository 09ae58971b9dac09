// Elementary functions in f64 from additions, multiplications, divisions and fused multiply-adds alone: their
// bits depend on no version of a library, they are the same on the CPU and on a GPU, and they vectorise.
// Errors in units of the last place are below 3 (tests/analysis/elementary_test.cpp). A NaN stays one.
//
// V is a number (Exact64) or several side by side (analysis/mlp/double4.h). LanesOf<V> has what no operator
// gives: set() of one double, fma(), and the bits, as a Bits for each double. C++17: included by device code.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace qmse {

// A double whose products and sums no compiler contracts.
struct Exact64 {
  double v;

  QMSE_HOST_DEVICE Exact64(double value) : v(value) {}  // NOLINT(google-explicit-constructor): as a double
#if defined(__CUDA_ARCH__)
  friend __device__ Exact64 operator+(Exact64 a, Exact64 b) { return __dadd_rn(a.v, b.v); }
  friend __device__ Exact64 operator-(Exact64 a, Exact64 b) { return __dsub_rn(a.v, b.v); }
  friend __device__ Exact64 operator*(Exact64 a, Exact64 b) { return __dmul_rn(a.v, b.v); }
  friend __device__ Exact64 operator/(Exact64 a, Exact64 b) { return __ddiv_rn(a.v, b.v); }
#else
  friend Exact64 operator+(Exact64 a, Exact64 b) { return a.v + b.v; }
  friend Exact64 operator-(Exact64 a, Exact64 b) { return a.v - b.v; }
  friend Exact64 operator*(Exact64 a, Exact64 b) { return a.v * b.v; }
  friend Exact64 operator/(Exact64 a, Exact64 b) { return a.v / b.v; }
#endif
  friend QMSE_HOST_DEVICE Exact64 operator-(Exact64 a) { return -a.v; }
  friend QMSE_HOST_DEVICE bool operator<(Exact64 a, Exact64 b) { return a.v < b.v; }
  friend QMSE_HOST_DEVICE bool operator>(Exact64 a, Exact64 b) { return a.v > b.v; }
  friend QMSE_HOST_DEVICE bool operator!=(Exact64 a, Exact64 b) { return a.v != b.v; }
  QMSE_HOST_DEVICE Exact64& operator+=(Exact64 b) { return *this = *this + b; }
};

template <class V>
struct LanesOf;

template <>
struct LanesOf<Exact64> {
  using Bits = std::uint64_t;
  static QMSE_HOST_DEVICE Exact64 set(double value) { return value; }
  static QMSE_HOST_DEVICE Exact64 fma(Exact64 a, Exact64 b, Exact64 c) {
#if defined(__CUDA_ARCH__)
    return __fma_rn(a.v, b.v, c.v);
#else
    return std::fma(a.v, b.v, c.v);
#endif
  }
  static QMSE_HOST_DEVICE std::uint64_t bits(Exact64 a) {
    std::uint64_t word;
    memcpy(&word, &a.v, sizeof(word));
    return word;
  }
  static QMSE_HOST_DEVICE Exact64 from_bits(std::uint64_t word) {
    double value;
    memcpy(&value, &word, sizeof(value));
    return value;
  }
};

template <class V>
QMSE_HOST_DEVICE inline V absolute(V x) {
  using Lanes = LanesOf<V>;
  return Lanes::from_bits(Lanes::bits(x) & static_cast<typename Lanes::Bits>(0x7fffffffffffffffu));
}

// `magnitude` >= 0 with the sign of `sign`.
template <class V>
QMSE_HOST_DEVICE inline V with_sign_of(V magnitude, V sign) {
  using Lanes = LanesOf<V>;
  return Lanes::from_bits(Lanes::bits(magnitude) |
                          (Lanes::bits(sign) & static_cast<typename Lanes::Bits>(0x8000000000000000u)));
}

namespace detail {

// 2^k, and e^r - 1 with |r| <= ln(2)/2, where x = k ln(2) + r, for -700 <= x <= 700.
template <class V>
struct SplitExponential {
  V power, rest;
};

template <class V>
QMSE_HOST_DEVICE inline SplitExponential<V> split_exponential(V x) {
  using Lanes = LanesOf<V>;
  const V shift = Lanes::set(0x1.8p52);
  const V shifted = Lanes::fma(x, Lanes::set(0x1.71547652b82fep+0), shift);  // k in its lowest bits
  const V k = shifted - shift;
  V r = Lanes::fma(k, Lanes::set(-0x1.62e42fefa39efp-1), x);
  r = Lanes::fma(k, Lanes::set(-0x1.abc9e3b39803fp-56), r);
  // Taylor's polynomial of degree 13: the rest is below 1e-17 of e^r - 1.
  const double factorials[] = {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0,
                               720.0,       120.0,      24.0,      6.0,      2.0};
  V p = Lanes::set(1.0 / 6227020800.0);
  for (const double factorial : factorials) p = Lanes::fma(p, r, Lanes::set(1.0 / factorial));
  const auto power = Lanes::bits(Lanes::set(1.0)) + (Lanes::bits(shifted) << 52);
  return {Lanes::from_bits(power), Lanes::fma(p * r, r, r)};
}

}  // namespace detail

// e^x for x <= 0; below -700 that of -700.
template <class V>
QMSE_HOST_DEVICE inline V exponential_of_negative(V x) {
  const V bound = LanesOf<V>::set(-700.0);
  const detail::SplitExponential<V> e = detail::split_exponential<V>(x < bound ? bound : x);
  return LanesOf<V>::fma(e.power, e.rest, e.power);
}

// tanh(-x) has the bits of -tanh(x).
template <class V>
QMSE_HOST_DEVICE inline V hyperbolic_tangent(V x) {
  const V bound = LanesOf<V>::set(-80.0), y = -2.0 * absolute(x);
  const detail::SplitExponential<V> e = detail::split_exponential<V>(y < bound ? bound : y);
  const V z = LanesOf<V>::fma(e.power, e.rest, e.power - 1.0);  // e^y - 1
  return with_sign_of<V>(-z / (z + 2.0), x);
}

// 1 / (1 + e^-x)
template <class V>
QMSE_HOST_DEVICE inline V logistic(V x) {
  const V e = exponential_of_negative<V>(-absolute(x));
  const V one = LanesOf<V>::set(1.0), zero = LanesOf<V>::set(0.0);
  return (x < zero ? e : one) / (one + e);
}

// ln(1 + e^x)
template <class V>
QMSE_HOST_DEVICE inline V softplus(V x) {
  using Lanes = LanesOf<V>;
  const V e = exponential_of_negative<V>(-absolute(x));
  const V s = e / (e + 2.0), square = s * s;  // ln(1 + e) = 2 artanh(s), s <= 1/3
  V p = Lanes::set(1.0 / 33.0);
  for (int odd = 31; odd >= 1; odd -= 2) p = Lanes::fma(p, square, Lanes::set(1.0 / odd));
  const V zero = Lanes::set(0.0);
  return Lanes::fma(s + s, p, x > zero ? x : zero) + (x != x ? x : zero);
}

}  // namespace qmse
