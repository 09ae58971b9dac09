// CUDA's arithmetic intrinsics for the SIMT executor, bit for bit where CUDA defines the result (rsqrtf and
// <cmath>'s functions are only as close as the host's library).
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <limits>

// Same type on both sides, as a difference in sign between arguments is a mistake more often than a wish.
template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

// Rounded once each and never contracted (the build sets -ffp-contract=off).
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline double __dsqrt_rn(double a) { return sqrt(a); }
inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }

namespace qmse::simt {

// Conversion to an integer type as the hardware does it: clamped to the type's range, zero for a NaN. `value`
// is whole.
template <class To, class From>
To saturate(From value) {
  constexpr From two = 2;
  const From bound = ldexp(two, std::numeric_limits<To>::digits - 1);  // max() + 1, exact
  if (!(value < bound)) return isnan(value) ? To{0} : std::numeric_limits<To>::max();
  constexpr To lowest = std::numeric_limits<To>::lowest();
  return value < static_cast<From>(lowest) ? lowest : static_cast<To>(value);
}

}  // namespace qmse::simt

#define QMSE_SIMT_TO_INTEGER(from, from_name, to, to_name)                                            \
  inline to __##from_name##2##to_name##_rn(from a) { return qmse::simt::saturate<to>(nearbyint(a)); } \
  inline to __##from_name##2##to_name##_rz(from a) { return qmse::simt::saturate<to>(trunc(a)); }     \
  inline to __##from_name##2##to_name##_rd(from a) { return qmse::simt::saturate<to>(floor(a)); }     \
  inline to __##from_name##2##to_name##_ru(from a) { return qmse::simt::saturate<to>(ceil(a)); }
#define QMSE_SIMT_CONVERSIONS(integer, name)          \
  QMSE_SIMT_TO_INTEGER(float, float, integer, name)   \
  QMSE_SIMT_TO_INTEGER(double, double, integer, name) \
  inline float __##name##2float_rn(integer a) { return static_cast<float>(a); }
QMSE_SIMT_CONVERSIONS(int, int)
QMSE_SIMT_CONVERSIONS(unsigned, uint)
QMSE_SIMT_CONVERSIONS(long long, ll)
QMSE_SIMT_CONVERSIONS(unsigned long long, ull)
#undef QMSE_SIMT_CONVERSIONS
#undef QMSE_SIMT_TO_INTEGER
inline double __int2double_rn(int a) { return a; }
inline double __uint2double_rn(unsigned a) { return a; }
inline double __ll2double_rn(long long a) { return static_cast<double>(a); }
inline double __ull2double_rn(unsigned long long a) { return static_cast<double>(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }

inline int __float_as_int(float a) { return std::bit_cast<int>(a); }
inline unsigned __float_as_uint(float a) { return std::bit_cast<unsigned>(a); }
inline float __int_as_float(int a) { return std::bit_cast<float>(a); }
inline float __uint_as_float(unsigned a) { return std::bit_cast<float>(a); }
inline long long __double_as_longlong(double a) { return std::bit_cast<long long>(a); }
inline double __longlong_as_double(long long a) { return std::bit_cast<double>(a); }

inline int __clz(int a) { return std::countl_zero(static_cast<unsigned>(a)); }
inline int __clzll(long long a) { return std::countl_zero(static_cast<unsigned long long>(a)); }
inline int __popc(unsigned a) { return std::popcount(a); }
inline int __popcll(unsigned long long a) { return std::popcount(a); }
inline int __ffs(int a) { return a == 0 ? 0 : std::countr_zero(static_cast<unsigned>(a)) + 1; }
inline unsigned __brev(unsigned a) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (a >> bit & 1u) << (31 - bit);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}

template <class T>
inline T __ldg(const T* address) {
  return *address;
}
