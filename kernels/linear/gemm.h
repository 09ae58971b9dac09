// C = A B or C += A B on one thread, for matrices of any strides: the inner loop of the plain convolution and
// of the fully connected layer.
//
// Blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a panel of
// B, two vectors wide, is packed into the first-level cache and met by six rows of A at a time. Each element
// is one chain of fused multiply-adds over k within blocks of 256, so its bits depend on K alone, not on
// where it stands or on how a caller cuts M and N.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/simd.h"

namespace qmse {

// Element (row, column) is data[row * row_stride + column * column_stride].
template <class T>
struct MatrixView {
  const T* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 0;
};

namespace gemm_detail {

inline constexpr std::int64_t kDepth = 256;  // of a packed panel of B
inline constexpr int kRows = 6;
template <class T>
inline constexpr int kWidth = 2 * kSimdLanes<T>;

template <class T, int rows>
inline void tile(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_column, const T* panel,
                 T* c, std::int64_t c_row, std::int64_t width, bool add) {
  constexpr int kLanes = kSimdLanes<T>;
  Simd<T> sum[rows][2] = {};
  if (add && width == kWidth<T>) {
    for (int i = 0; i < rows; ++i) {
      sum[i][0] = simd_load(c + i * c_row);
      sum[i][1] = simd_load(c + i * c_row + kLanes);
    }
  } else if (add) {
    for (int i = 0; i < rows; ++i) {
      T row[kWidth<T>] = {};
      std::copy_n(c + i * c_row, width, row);
      sum[i][0] = simd_load(row);
      sum[i][1] = simd_load(row + kLanes);
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const Simd<T> b0 = simd_load(panel + k * kWidth<T>);
    const Simd<T> b1 = simd_load(panel + k * kWidth<T> + kLanes);
    const T* a_k = a + k * a_column;
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
      const Simd<T> value = simd_set(a_k[i * a_row]);
      sum[i][0] = simd_fma(value, b0, sum[i][0]);
      sum[i][1] = simd_fma(value, b1, sum[i][1]);
    }
  }
  if (width == kWidth<T>) {
    for (int i = 0; i < rows; ++i) {
      simd_store(c + i * c_row, sum[i][0]);
      simd_store(c + i * c_row + kLanes, sum[i][1]);
    }
  } else {
    for (int i = 0; i < rows; ++i) {
      T row[kWidth<T>];
      simd_store(row, sum[i][0]);
      simd_store(row + kLanes, sum[i][1]);
      std::copy_n(row, width, c + i * c_row);
    }
  }
}

template <class T>
inline void pack(const MatrixView<T>& b, std::int64_t depth, std::int64_t width, T* panel) {
  if (b.column_stride == 1 && width == kWidth<T>) {
    for (std::int64_t k = 0; k < depth; ++k)
      std::copy_n(b.data + k * b.row_stride, kWidth<T>, panel + k * kWidth<T>);
    return;
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t j = 0; j < kWidth<T>; ++j)
      panel[k * kWidth<T> + j] = j < width ? b.data[k * b.row_stride + j * b.column_stride] : T(0);
  }
}

}  // namespace gemm_detail

// C [M, N] with rows `c_row` apart and contiguous columns; A is M x K and B is K x N. Adds to C where `add`.
template <class T>
void gemm(std::int64_t M, std::int64_t N, std::int64_t K, const MatrixView<T>& a, const MatrixView<T>& b,
          T* c, std::int64_t c_row, bool add) {
  using namespace gemm_detail;
  alignas(64) T panel[kDepth * kWidth<T>];
  for (std::int64_t k = 0; k < K; k += kDepth) {
    const std::int64_t depth = std::min(kDepth, K - k);
    const bool more = add || k > 0;
    for (std::int64_t n = 0; n < N; n += kWidth<T>) {
      const std::int64_t width = std::min<std::int64_t>(kWidth<T>, N - n);
      pack<T>({b.data + k * b.row_stride + n * b.column_stride, b.row_stride, b.column_stride}, depth, width,
              panel);
      for (std::int64_t m = 0; m < M; m += kRows) {
        const T* a_tile = a.data + m * a.row_stride + k * a.column_stride;
        T* c_tile = c + m * c_row + n;
        switch (std::min<std::int64_t>(kRows, M - m)) {
#define QMSE_TILE(rows)                                                                             \
  case rows:                                                                                        \
    tile<T, rows>(depth, a_tile, a.row_stride, a.column_stride, panel, c_tile, c_row, width, more); \
    break
          QMSE_TILE(1);
          QMSE_TILE(2);
          QMSE_TILE(3);
          QMSE_TILE(4);
          QMSE_TILE(5);
          QMSE_TILE(6);
#undef QMSE_TILE
        }
      }
    }
  }
}

}  // namespace qmse
