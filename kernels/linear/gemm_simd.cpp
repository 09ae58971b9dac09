// Blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a block of
// B is packed for the second-level cache, in panels two vectors wide, and met by as many rows of A at a time
// as leave their sums in registers.
#include <utility>

#include "kernels/cpu/simd.h"
#include "kernels/linear/gemm.h"
#include "kernels/linear/panel.h"

namespace qmse::QMSE_ISA {

namespace {

constexpr bool kManyRegisters = QMSE_WIDE != 0;           // 32, else 16
constexpr std::int64_t kDepth = 256;                      // of a packed panel of B
constexpr std::int64_t kPanels = kManyRegisters ? 4 : 8;  // packed at a time
constexpr int kRows = kManyRegisters ? 12 : 6;

std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Rows of C, a panel wide.
template <class T, int rows, bool add>
void tile(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_column, const T* panel, T* c,
          std::int64_t c_row) {
  using V = WideSimd<T>;
  constexpr int kLanes = kWideLanes<T>;
  V sum[rows][2];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
    T* row = c + i * c_row;
    if constexpr (add) {
      sum[i][0] = simd_load<V>(row);
      sum[i][1] = simd_load<V>(row + kLanes);
    } else {
      __builtin_prefetch(row, 1);
      if constexpr (kManyRegisters) __builtin_prefetch(row + kLanes, 1);
      sum[i][0] = sum[i][1] = V{};
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    const V b0 = simd_load<V>(panel + k * kPanelWidth<T>);
    const V b1 = simd_load<V>(panel + k * kPanelWidth<T> + kLanes);
    const T* a_k = a + k * a_column;
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const V value = simd_set<V>(a_k[i * a_row]);
      sum[i][0] = simd_fma(value, b0, sum[i][0]);
      sum[i][1] = simd_fma(value, b1, sum[i][1]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
    simd_store(c + i * c_row, sum[i][0]);
    simd_store(c + i * c_row + kLanes, sum[i][1]);
  }
}

// Up to kRows rows of C and up to a panel's columns.
template <class T>
void multiply(std::int64_t rows, std::int64_t width, std::int64_t depth, const T* a, std::int64_t a_row,
              std::int64_t a_column, const T* panel, T* c, std::int64_t c_row, bool add) {
  const auto call = [&]<int... i>(T * to, std::int64_t to_row, std::integer_sequence<int, i...>) {
    ((rows != i + 1 ? void()
      : add         ? tile<T, i + 1, true>(depth, a, a_row, a_column, panel, to, to_row)
                    : tile<T, i + 1, false>(depth, a, a_row, a_column, panel, to, to_row)),
     ...);
  };
  constexpr std::make_integer_sequence<int, kRows> kAnyRows;
  if (width == kPanelWidth<T>) return call(c, c_row, kAnyRows);
  T whole[kRows * kPanelWidth<T>] = {};
  for (std::int64_t i = 0; i < rows && add; ++i)
    copy_elements(c + i * c_row, width, whole + i * kPanelWidth<T>);
  call(whole, kPanelWidth<T>, kAnyRows);
  for (std::int64_t i = 0; i < rows; ++i) copy_elements(whole + i * kPanelWidth<T>, width, c + i * c_row);
}

}  // namespace

template <class T>
void gemm(std::int64_t M, std::int64_t N, std::int64_t K, const MatrixView<T>& a, const MatrixView<T>& b,
          T* c, std::int64_t c_row, bool add) {
  alignas(64) T panels[kDepth * kPanels * kPanelWidth<T>];
  for (std::int64_t n = 0; n < N; n += kPanels * kPanelWidth<T>) {
    const std::int64_t columns = smaller(kPanels * kPanelWidth<T>, N - n);
    for (std::int64_t k = 0; k < K; k += kDepth) {
      const std::int64_t depth = smaller(kDepth, K - k);
      for (std::int64_t j = 0; j < columns; j += kPanelWidth<T>) {
        pack_panel<T>({b.data + k * b.row_stride + (n + j) * b.column_stride, b.row_stride, b.column_stride},
                      depth, smaller(kPanelWidth<T>, columns - j), panels + j * depth);
      }
      for (std::int64_t m = 0; m < M; m += kRows) {
        for (std::int64_t j = 0; j < columns; j += kPanelWidth<T>) {
          multiply(smaller(kRows, M - m), smaller(kPanelWidth<T>, columns - j), depth,
                   a.data + m * a.row_stride + k * a.column_stride, a.row_stride, a.column_stride,
                   panels + j * depth, c + m * c_row + n + j, c_row, add || k > 0);
        }
      }
    }
  }
}

template void gemm(std::int64_t, std::int64_t, std::int64_t, const MatrixView<float>&,
                   const MatrixView<float>&, float*, std::int64_t, bool);
template void gemm(std::int64_t, std::int64_t, std::int64_t, const MatrixView<double>&,
                   const MatrixView<double>&, double*, std::int64_t, bool);

}  // namespace qmse::QMSE_ISA
