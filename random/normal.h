// Standard normal numbers from Philox bits, bit-equal on the CPU, in the SIMT executor and on a GPU:
// Box-Muller from explicit correctly rounded operations (fused multiply-add, multiply, square root, integer
// conversion), no libm, no table, no branch. C++17: included by device code.
//
// The arithmetic below never lets a plain product reach a plain sum, so a compiler that contracts a*b+c, or
// does not, computes the same bits. It does need IEEE arithmetic.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/group.h"
#include "base/host_device.h"
#include "random/philox.h"

#if defined(__FAST_MATH__)
#error \
    "normal.h needs IEEE arithmetic: compile without -ffast-math (qmse's random numbers must be bit-equal everywhere)"
#endif

namespace qmse {

// Correctly rounded (to nearest even) single operations.
#if defined(__CUDA_ARCH__)
__device__ inline float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline float mul_rn(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float add_rn(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float div_rn(float a, float b) { return __fdiv_rn(a, b); }
__device__ inline float sqrt_rn(float a) { return __fsqrt_rn(a); }
__device__ inline float float_from_int_rn(std::int32_t a) { return __int2float_rn(a); }
__device__ inline float float_from_int64_rn(std::int64_t a) { return __ll2float_rn(a); }
__device__ inline float float_from_bits(std::uint32_t a) { return __uint_as_float(a); }
__device__ inline std::uint32_t bits_from_float(float a) { return __float_as_uint(a); }

namespace detail {

// The square root for 2^-100 < a < 2^100, where the hardware's approximation and one correction round
// correctly: the sequence nvcc itself generates for __fsqrt_rn, without its branch for the other values.
__device__ inline float sqrt_moderate_rn(float a) {
  float reciprocal;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(a));
  const float root = __fmul_rn(a, reciprocal);
  return __fmaf_rn(__fmaf_rn(-root, root, a), __fmul_rn(reciprocal, 0.5f), root);
}

__device__ inline std::int32_t leading_zeros(std::uint32_t a) { return __clz(static_cast<int>(a)); }

}  // namespace detail
#else
static_assert(sizeof(float) == 4 && __FLT_EVAL_METHOD__ == 0, "float operations must round to 32 bits");

inline float fma_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float mul_rn(float a, float b) { return a * b; }
inline float add_rn(float a, float b) { return a + b; }
inline float div_rn(float a, float b) { return a / b; }
inline float sqrt_rn(float a) { return std::sqrt(a); }
inline float float_from_int_rn(std::int32_t a) { return static_cast<float>(a); }
inline float float_from_int64_rn(std::int64_t a) { return static_cast<float>(a); }
inline float float_from_bits(std::uint32_t a) { return __builtin_bit_cast(float, a); }
inline std::uint32_t bits_from_float(float a) { return __builtin_bit_cast(std::uint32_t, a); }

namespace detail {

inline float sqrt_moderate_rn(float a) { return std::sqrt(a); }

// Of an odd number. From the exponent of a float, because AVX2 has no such instruction: clearing every bit
// whose upper neighbour is set keeps the leading bit and stops the conversion from rounding up to the next
// power of two.
inline std::int32_t leading_zeros(std::uint32_t a) {
  const std::uint32_t half = a >> 1;
  const float value = static_cast<float>(static_cast<std::int32_t>(half & ~(half >> 1)));
  const auto exponent = static_cast<std::int32_t>(bits_from_float(value) >> 23);
  return 157 - (exponent > 126 ? exponent : 126);
}

}  // namespace detail
#endif

struct NormalPair {
  float a, b;
};

// -2 ln(u) for u = (2k + 1) / 2^32 where k is the low 31 bits of `bits`: u is in [2^-32, 1 - 2^-32], so the
// result is in [2^-31, 44.36]. With u = 2^-z (1 + t), -1/2 <= t < 0, it is 2 z ln 2 - 2 ln(1 + t): two terms
// of one sign, nothing cancels, and t keeps its relative precision next to u = 1. Relative error
// below 3.5 * 2^-24.
QMSE_HOST_DEVICE inline float minus_two_log(std::uint32_t bits) {
  const std::uint32_t u = 2u * bits + 1u;
  const std::int32_t z = detail::leading_zeros(u);
  const float t = mul_rn(float_from_int_rn(static_cast<std::int32_t>(u << z)), 0x1p-32f);
  // Minimax (Remez) in relative error for -2 ln(1+t) / t on [-1/2, 0], first coefficient fixed: 0.5 * 2^-24.
  float h = -0x1.6a2048p+1f;
  h = fma_rn(h, t, -0x1.a3bcd2p+1f);
  h = fma_rn(h, t, -0x1.356e8ep+1f);
  h = fma_rn(h, t, -0x1.7296f8p-2f);
  h = fma_rn(h, t, -0x1.0e04d4p-1f);
  h = fma_rn(h, t, 0x1.f30ff4p-2f);
  h = fma_rn(h, t, -0x1.55a3a8p-1f);
  h = fma_rn(h, t, 0x1.fffecp-1f);
  h = fma_rn(h, t, -2.0f);
  return fma_rn(float_from_int_rn(z), 0x1.62e43p+0f, mul_rn(h, t));
}

// Two independent standard normals by Box and Muller: r cos(phi) and r sin(phi) with r =
// sqrt(minus_two_log(bits_r)). phi is built from theta = (pi/4) (2j + 1) / 2^31 in (-pi/4, pi/4), where j is
// the low 31 bits of `bits_angle` as a two's complement number; bit 31 of bits_r negates the cosine, then bit
// 31 of bits_angle exchanges cosine and sine: together they reach the four quadrants around the axes with
// equal probability.
//
// |a|, |b| <= 6.661. Against f64 on the same bits the relative error is below 5.5 * 2^-24, for small and
// large values alike (tests/random/normal_test.cpp).
QMSE_HOST_DEVICE inline NormalPair normals_from_bits(std::uint32_t bits_r, std::uint32_t bits_angle) {
  const float r = detail::sqrt_moderate_rn(minus_two_log(bits_r));
  const float theta =
      mul_rn(float_from_int_rn(static_cast<std::int32_t>(2u * bits_angle + 1u)), 0x1.921fb6p-32f);
  const float square = mul_rn(theta, theta);
  // Minimax in relative error on [0, (pi/4)^2]: sine 0.07 * 2^-24, cosine 0.01 * 2^-24.
  float p = fma_rn(-0x1.9943ep-13f, square, 0x1.11073ap-7f);
  p = fma_rn(p, square, -0x1.555546p-3f);
  const float sine = fma_rn(mul_rn(theta, square), p, theta);
  float q = fma_rn(0x1.9916ap-16f, square, -0x1.6c07f2p-10f);
  q = fma_rn(q, square, 0x1.55553cp-5f);
  q = fma_rn(q, square, -0.5f);
  const float cosine = fma_rn(q, square, 1.0f);
  const float b = mul_rn(r, sine);
  const float a = float_from_bits(bits_from_float(mul_rn(r, cosine)) ^ (bits_r & 0x80000000u));
  const bool exchange = (bits_angle & 0x80000000u) != 0;
  return exchange ? NormalPair{b, a} : NormalPair{a, b};
}

// The four normals of one block of bits. Cost on a GPU, counted in the machine code for sm_75 and sm_90: 20
// instructions a number and 10 to 20 for its Philox bits (10 where a loop shares the key's additions); a loop
// that draws, squares, sums and stores has 40 an element in all, of which 2 (sm_90) to 3.5 (sm_75) use
// the slow unit for conversions and approximations.
QMSE_HOST_DEVICE inline Group<float, 4> normals_from_bits(const PhiloxBlock& bits) {
  const NormalPair first = normals_from_bits(bits.x[0], bits.x[1]);
  const NormalPair second = normals_from_bits(bits.x[2], bits.x[3]);
  return Group<float, 4>{{first.a, first.b, second.a, second.b}};
}

}  // namespace qmse
