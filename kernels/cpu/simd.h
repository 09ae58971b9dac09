// Vectors through the compiler's vector extension, with the fused multiply-add spelled out: the build forbids
// contraction, so `a * b + c` would be two roundings and two instructions. Simd has 32 bytes everywhere,
// WideSimd as many as the instruction set has that a *_simd.cpp is compiled for.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

#include "kernels/cpu/dispatch.h"

namespace qmse {
namespace QMSE_ISA {

template <class T, int bytes>
struct SimdOf;
template <int bytes>
struct SimdOf<float, bytes> {
  typedef float type __attribute__((vector_size(bytes)));
};
template <int bytes>
struct SimdOf<double, bytes> {
  typedef double type __attribute__((vector_size(bytes)));
};

template <class T>
using Simd = typename SimdOf<T, 32>::type;
template <class T>
inline constexpr int kSimdLanes = 32 / static_cast<int>(sizeof(T));

#if QMSE_WIDE
inline constexpr int kWideBytes = 64;
#else
inline constexpr int kWideBytes = 32;
#endif
template <class T>
using WideSimd = typename SimdOf<T, kWideBytes>::type;
template <class T>
inline constexpr int kWideLanes = kWideBytes / static_cast<int>(sizeof(T));

template <class V, class T>
inline V simd_load(const T* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
inline Simd<T> simd_load(const T* from) {
  return simd_load<Simd<T>, T>(from);
}

template <class V, class T>
inline void simd_store(T* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

template <class V, class T>
inline V simd_set(T value) {
  return value - V{};
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
#if QMSE_WIDE
inline WideSimd<float> simd_fma(WideSimd<float> a, WideSimd<float> b, WideSimd<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline WideSimd<double> simd_fma(WideSimd<double> a, WideSimd<double> b, WideSimd<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#endif
#else
inline Simd<float> simd_fma(Simd<float> a, Simd<float> b, Simd<float> c) { return a * b + c; }
inline Simd<double> simd_fma(Simd<double> a, Simd<double> b, Simd<double> c) { return a * b + c; }
#endif

typedef std::int32_t SimdInt __attribute__((vector_size(32)));
typedef std::int32_t WideInt __attribute__((vector_size(kWideBytes)));

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

#if QMSE_WIDE
template <class V>
inline V simd_choose(WideInt mask, V yes, V no) {
  return mask ? yes : no;
}
#endif

// Whole numbers below 256, and their bytes.

inline SimdInt simd_load_bytes(const std::uint8_t* from) {
#if defined(__AVX2__)
  return reinterpret_cast<SimdInt>(_mm256_cvtepu8_epi32(_mm_loadu_si64(from)));
#else
  SimdInt value;
  for (int lane = 0; lane < 8; ++lane) value[lane] = from[lane];
  return value;
#endif
}

inline WideInt wide_load_bytes(const std::uint8_t* from) {
#if QMSE_WIDE
  return reinterpret_cast<WideInt>(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
  return simd_load_bytes(from);
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

// Eight bytes to `to`, and what a wide vector has beyond to `next`.
inline void wide_store_bytes(std::uint8_t* to, [[maybe_unused]] std::uint8_t* next, WideInt value) {
#if QMSE_WIDE
  const __m128i bytes = _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(value));
  _mm_storeu_si64(to, bytes);
  _mm_storeu_si64(next, _mm_unpackhi_epi64(bytes, bytes));
#else
  simd_store_bytes(to, value);
#endif
}

// The sixteen lanes of two vectors, or the first's eight where a wide vector has no more.
inline WideSimd<float> simd_join(Simd<float> low, [[maybe_unused]] Simd<float> high) {
#if QMSE_WIDE
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#else
  return low;
#endif
}

// One bit for each lane that is not zero, the first lane's lowest.
inline unsigned simd_nonzero(WideSimd<float> value) {
#if QMSE_WIDE
  return _mm512_cmp_ps_mask(value, _mm512_setzero_ps(), _CMP_NEQ_UQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(value, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
#else
  unsigned bits = 0;
  for (int lane = 0; lane < 8; ++lane) bits |= (value[lane] != 0 ? 1u : 0u) << lane;
  return bits;
#endif
}

// Lane by lane table[index % 8].
inline WideInt simd_lookup(const std::int32_t (&table)[8], WideInt index) {
#if QMSE_WIDE
  const __m256i entries = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table));
  return reinterpret_cast<WideInt>(
      _mm512_permutexvar_epi32(reinterpret_cast<__m512i>(index & 7), _mm512_castsi256_si512(entries)));
#elif defined(__AVX2__)
  const __m256i entries = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table));
  return reinterpret_cast<WideInt>(_mm256_permutevar8x32_epi32(entries, reinterpret_cast<__m256i>(index)));
#else
  WideInt value;
  for (int lane = 0; lane < 8; ++lane) value[lane] = table[index[lane] & 7];
  return value;
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
// them: always a vector. Returns how many are in the set.
inline int simd_store_lanes(unsigned set, WideSimd<float> values, WideInt places, float* to_values,
                            std::int32_t* to_places) {
#if QMSE_WIDE
  const auto lanes = static_cast<__mmask16>(set);
  // Compressed in registers: to memory it is slow on some processors.
  _mm512_storeu_ps(to_values, _mm512_maskz_compress_ps(lanes, values));
  _mm512_storeu_si512(to_places, _mm512_maskz_compress_epi32(lanes, reinterpret_cast<__m512i>(places)));
#elif defined(__AVX2__)
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

// The same for sets of mostly few lanes: of a wide vector with up to eight of them it stores a half.
inline int simd_store_few_lanes(unsigned set, WideSimd<float> values, WideInt places, float* to_values,
                                std::int32_t* to_places) {
#if QMSE_WIDE
  const auto lanes = static_cast<__mmask16>(set);
  const int count = __builtin_popcount(set);
  const __m512 few_values = _mm512_maskz_compress_ps(lanes, values);
  const __m512i few_places = _mm512_maskz_compress_epi32(lanes, reinterpret_cast<__m512i>(places));
  _mm256_storeu_ps(to_values, _mm512_castps512_ps256(few_values));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_places), _mm512_castsi512_si256(few_places));
  if (count > 8) {
    _mm512_storeu_ps(to_values, few_values);
    _mm512_storeu_si512(to_places, few_places);
  }
  return count;
#else
  return simd_store_lanes(set, values, places, to_values, to_places);
#endif
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

#if QMSE_WIDE
// The same within either half of the rows.
inline void simd_transpose(WideSimd<float> (&rows)[8]) {
  WideSimd<float> pairs[8], quads[8];
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; ++k) {
      quads[i + 2 * k] = _mm512_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0x44);
      quads[i + 2 * k + 1] = _mm512_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0xee);
    }
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = __builtin_shufflevector(quads[i], quads[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24,
                                      25, 26, 27);
    rows[i + 4] = __builtin_shufflevector(quads[i], quads[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15,
                                          28, 29, 30, 31);
  }
}
#endif

// to[c][e] = from[e][c] for eight bytes of as many elements as a wide vector has lanes.
inline void simd_transpose_bytes(const std::uint8_t* from, std::uint8_t* to) {
  constexpr int kElements = kWideLanes<float>;
#if defined(__AVX2__)
  const __m128i pair_up = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  __m128i eights[kElements / 8][4];  // two rows each
  for (int e = 0; e < kElements / 8; ++e) {
    __m128i pairs[4], quads[4];
    for (int i = 0; i < 4; ++i) {
      const auto* two = reinterpret_cast<const __m128i*>(from + 64 * e + 16 * i);
      pairs[i] = _mm_shuffle_epi8(_mm_loadu_si128(two), pair_up);
    }
    for (int i = 0; i < 2; ++i) {
      quads[2 * i] = _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]);
      quads[2 * i + 1] = _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      eights[e][2 * i] = _mm_unpacklo_epi32(quads[i], quads[i + 2]);
      eights[e][2 * i + 1] = _mm_unpackhi_epi32(quads[i], quads[i + 2]);
    }
  }
  auto* rows = reinterpret_cast<__m128i*>(to);
  for (int i = 0; i < 4; ++i) {
    if constexpr (kElements == 8) {
      _mm_storeu_si128(rows + i, eights[0][i]);
    } else {
      _mm_storeu_si128(rows + 2 * i, _mm_unpacklo_epi64(eights[0][i], eights[1][i]));
      _mm_storeu_si128(rows + 2 * i + 1, _mm_unpackhi_epi64(eights[0][i], eights[1][i]));
    }
  }
#else
  for (int e = 0; e < kElements; ++e) {
    for (int c = 0; c < 8; ++c) to[c * kElements + e] = from[8 * e + c];
  }
#endif
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

}  // namespace QMSE_ISA
}  // namespace qmse
