// C = A B or C += A B on one thread, for matrices as they lie or transposed: the inner loop of the plain
// convolution and of the fully connected layer.
//
// Blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a block
// of B is packed for the second-level cache, in panels two vectors wide, and met by six rows of A at a time.
// Each element is one chain of fused multiply-adds over k within blocks of 256, so its bits depend on K
// alone, not on where it stands or on how a caller cuts M and N.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/simd.h"

namespace qmse {

// Element (row, column) is data[row * row_stride + column * column_stride]. One of the strides is 1.
template <class T>
struct MatrixView {
  const T* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 0;
};

namespace gemm_detail {

inline constexpr std::int64_t kDepth = 256;  // of a packed panel of B
inline constexpr std::int64_t kPanels = 8;   // packed at a time
inline constexpr int kRows = 6;
template <class T>
inline constexpr int kWidth = 2 * kSimdLanes<T>;

template <class T, int rows>
inline void tile(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_column, const T* panel,
                 T* c, std::int64_t c_row, std::int64_t width, bool add) {
  constexpr int kLanes = kSimdLanes<T>;
  Simd<T> sum[rows][2];
  for (int i = 0; i < rows; ++i) {
    T* row = c + i * c_row;
    __builtin_prefetch(row, 1);
    if (!add) {
      sum[i][0] = sum[i][1] = Simd<T>{};
    } else if (width == kWidth<T>) {
      sum[i][0] = simd_load(row);
      sum[i][1] = simd_load(row + kLanes);
    } else {
      T part[kWidth<T>] = {};
      std::copy_n(row, width, part);
      sum[i][0] = simd_load(part);
      sum[i][1] = simd_load(part + kLanes);
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
  if (b.column_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k) {
      const T* row = b.data + k * b.row_stride;
      // Rows are short and far apart: the processor's own prefetching does not see them coming.
      __builtin_prefetch(row + 16 * b.row_stride, 0, 2);
      __builtin_prefetch(row + kWidth<T>, 0, 2);
      if (width == kWidth<T>) {
        std::copy_n(row, kWidth<T>, panel + k * kWidth<T>);
      } else {
        std::copy_n(row, width, panel + k * kWidth<T>);
      }
    }
  } else {
    simd_transpose(width, depth, b.data, b.column_stride, panel, kWidth<T>);
  }
  for (std::int64_t k = 0; k < depth && width < kWidth<T>; ++k)
    std::fill(panel + k * kWidth<T> + width, panel + (k + 1) * kWidth<T>, T(0));
}

}  // namespace gemm_detail

// C [M, N] with rows `c_row` apart and contiguous columns; A is M x K and B is K x N. Adds to C where `add`.
template <class T>
void gemm(std::int64_t M, std::int64_t N, std::int64_t K, const MatrixView<T>& a, const MatrixView<T>& b,
          T* c, std::int64_t c_row, bool add) {
  using gemm_detail::kDepth, gemm_detail::kPanels, gemm_detail::kRows, gemm_detail::kWidth;
  alignas(64) T panels[kDepth * kPanels * kWidth<T>];
  for (std::int64_t n = 0; n < N; n += kPanels * kWidth<T>) {
    const std::int64_t columns = std::min<std::int64_t>(kPanels * kWidth<T>, N - n);
    for (std::int64_t k = 0; k < K; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, K - k);
      const bool more = add || k > 0;
      for (std::int64_t j = 0; j < columns; j += kWidth<T>) {
        gemm_detail::pack<T>(
            {b.data + k * b.row_stride + (n + j) * b.column_stride, b.row_stride, b.column_stride}, depth,
            std::min<std::int64_t>(kWidth<T>, columns - j), panels + j * depth);
      }
      for (std::int64_t m = 0; m < M; m += kRows) {
        const T* a_tile = a.data + m * a.row_stride + k * a.column_stride;
        for (std::int64_t j = 0; j < columns; j += kWidth<T>) {
          const std::int64_t width = std::min<std::int64_t>(kWidth<T>, columns - j);
          const T* panel = panels + j * depth;
          T* c_tile = c + m * c_row + n + j;
          switch (std::min<std::int64_t>(kRows, M - m)) {
#define QMSE_TILE(rows)                                                                                   \
  case rows:                                                                                              \
    gemm_detail::tile<T, rows>(depth, a_tile, a.row_stride, a.column_stride, panel, c_tile, c_row, width, \
                               more);                                                                     \
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
}

}  // namespace qmse
