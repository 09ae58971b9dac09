// 32-byte vectors through the compiler's vector extension, with the fused multiply-add spelled out: the build
// forbids contraction, so `a * b + c` would be two roundings and two instructions.
#pragma once

#include <cstdint>
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

typedef std::int32_t SimdInt __attribute__((vector_size(32)));

// Lane by lane `yes` where the mask, a comparison's result, is set, else `no`.
template <class V>
inline V simd_choose(SimdInt mask, V yes, V no) {
#if defined(__AVX2__)
  return reinterpret_cast<V>(_mm256_blendv_ps(reinterpret_cast<__m256>(no), reinterpret_cast<__m256>(yes),
                                              reinterpret_cast<__m256>(mask)));
#else
  return mask ? yes : no;
#endif
}

// Eight whole numbers below 256, and their bytes.

inline SimdInt simd_load_bytes(const std::uint8_t* from) {
#if defined(__AVX2__)
  return reinterpret_cast<SimdInt>(_mm256_cvtepu8_epi32(_mm_loadu_si64(from)));
#else
  SimdInt value;
  for (int lane = 0; lane < 8; ++lane) value[lane] = from[lane];
  return value;
#endif
}

inline void simd_store_bytes(std::uint8_t* to, SimdInt value) {
#if defined(__AVX2__)
  const __m256i bits = reinterpret_cast<__m256i>(value);
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  _mm_storeu_si64(to, _mm_packus_epi16(words, words));
#else
  for (int lane = 0; lane < 8; ++lane) to[lane] = static_cast<std::uint8_t>(value[lane]);
#endif
}

// One bit for each lane that is below zero, the first lane's lowest.
inline unsigned simd_signs(SimdInt value) {
#if defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(value)));
#else
  unsigned bits = 0;
  for (int lane = 0; lane < 8; ++lane) bits |= (value[lane] < 0 ? 1u : 0u) << lane;
  return bits;
#endif
}

// For each set of lanes their numbers, in order; what follows them is 0.
struct SimdLaneNumbers {
  std::uint8_t of[256][8] = {};
  constexpr SimdLaneNumbers() {
    for (unsigned set = 0; set < 256; ++set) {
      int count = 0;
      for (int lane = 0; lane < 8; ++lane) {
        if ((set >> lane & 1) != 0) of[set][count++] = static_cast<std::uint8_t>(lane);
      }
    }
  }
};
inline constexpr SimdLaneNumbers kSimdLaneNumbers;

// Stores the lanes of `values` and `places` that are in the set one after the other, and something behind
// them: always eight numbers. Returns how many are in the set.
inline int simd_store_lanes(unsigned set, Simd<float> values, SimdInt places, float* to_values,
                            std::int32_t* to_places) {
#if defined(__AVX2__)
  const __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadu_si64(kSimdLaneNumbers.of[set]));
  _mm256_storeu_ps(to_values, _mm256_permutevar8x32_ps(values, lanes));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_places),
                      _mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(places), lanes));
#else
  for (int k = 0; k < 8; ++k) {
    to_values[k] = values[kSimdLaneNumbers.of[set][k]];
    to_places[k] = places[kSimdLaneNumbers.of[set][k]];
  }
#endif
  return __builtin_popcount(set);
}

// rows[i][j] becomes rows[j][i].
inline void simd_transpose(Simd<float> (&rows)[8]) {
  Simd<float> pairs[8], quads[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; ++k) {
      quads[i + 2 * k] = __builtin_shufflevector(pairs[i + k], pairs[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      quads[i + 2 * k + 1] =
          __builtin_shufflevector(pairs[i + k], pairs[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = __builtin_shufflevector(quads[i], quads[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    rows[i + 4] = __builtin_shufflevector(quads[i], quads[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

inline void simd_transpose(Simd<double> (&rows)[4]) {
  Simd<double> pairs[4];
  for (int i = 0; i < 4; i += 2) {
    pairs[i] = __builtin_shufflevector(rows[i], rows[i + 1], 0, 4, 2, 6);
    pairs[i + 1] = __builtin_shufflevector(rows[i], rows[i + 1], 1, 5, 3, 7);
  }
  for (int i = 0; i < 2; ++i) {
    rows[i] = __builtin_shufflevector(pairs[i], pairs[i + 2], 0, 1, 4, 5);
    rows[i + 2] = __builtin_shufflevector(pairs[i], pairs[i + 2], 2, 3, 6, 7);
  }
}

// to[column * to_row + row] = from[row * from_row + column].
template <class T>
inline void simd_transpose(std::int64_t rows, std::int64_t columns, const T* from, std::int64_t from_row,
                           T* to, std::int64_t to_row) {
  constexpr int kLanes = kSimdLanes<T>;
  std::int64_t row = 0;
  for (; row + kLanes <= rows; row += kLanes) {
    std::int64_t column = 0;
    for (; column + kLanes <= columns; column += kLanes) {
      Simd<T> tile[kLanes];
      for (int k = 0; k < kLanes; ++k) tile[k] = simd_load(from + (row + k) * from_row + column);
      simd_transpose(tile);
      for (int k = 0; k < kLanes; ++k) simd_store(to + (column + k) * to_row + row, tile[k]);
    }
    for (; column < columns; ++column) {
      for (int k = 0; k < kLanes; ++k) to[column * to_row + row + k] = from[(row + k) * from_row + column];
    }
  }
  for (; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column)
      to[column * to_row + row] = from[row * from_row + column];
  }
}

// The sum of n numbers, lane by lane: an order fixed by n.
template <class T>
inline T simd_sum(const T* x, std::int64_t n) {
  constexpr int kLanes = kSimdLanes<T>;
  Simd<T> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += simd_load(x + i);
  T sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  for (; i < n; ++i) sum += x[i];
  return sum;
}

}  // namespace qmse
