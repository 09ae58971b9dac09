// 32-byte vectors through the compiler's vector extension, with the fused multiply-add spelled out: the build
// forbids contraction, so `a * b + c` would be two roundings and two instructions.
#pragma once

#include <cstring>
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace qmse {

template <class T>
struct SimdOf;
template <>
struct SimdOf<float> {
  typedef float type __attribute__((vector_size(32)));
};
template <>
struct SimdOf<double> {
  typedef double type __attribute__((vector_size(32)));
};

template <class T>
using Simd = typename SimdOf<T>::type;
template <class T>
inline constexpr int kSimdLanes = 32 / static_cast<int>(sizeof(T));

template <class T>
inline Simd<T> simd_load(const T* from) {
  Simd<T> value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
inline void simd_store(T* to, Simd<T> value) {
  std::memcpy(to, &value, sizeof value);
}

template <class T>
inline Simd<T> simd_set(T value) {
  return value - Simd<T>{};
}

#if defined(__AVX2__) && defined(__FMA__)
inline Simd<float> simd_fma(Simd<float> a, Simd<float> b, Simd<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Simd<double> simd_fma(Simd<double> a, Simd<double> b, Simd<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#else
inline Simd<float> simd_fma(Simd<float> a, Simd<float> b, Simd<float> c) { return a * b + c; }
inline Simd<double> simd_fma(Simd<double> a, Simd<double> b, Simd<double> c) { return a * b + c; }
#endif

// The sum of n numbers, lane by lane: an order fixed by n.
template <class T>
inline T simd_sum(const T* x, long n) {
  constexpr int kLanes = kSimdLanes<T>;
  Simd<T> lanes{};
  long i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += simd_load(x + i);
  T sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  for (; i < n; ++i) sum += x[i];
  return sum;
}

}  // namespace qmse
