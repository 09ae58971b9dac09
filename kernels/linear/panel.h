// Panels of a product's second factor, packed for a cache: [depth, kPanelWidth], two vectors wide.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd.h"
#include "kernels/linear/gemm.h"

namespace qmse::QMSE_ISA {

template <class T>
inline constexpr int kPanelWidth = 2 * kWideLanes<T>;

template <class T>
inline void copy_elements(const T* from, std::int64_t count, T* to) {
  std::memcpy(to, from, sizeof(T) * static_cast<std::size_t>(count));
}

// `width` columns of `depth` rows of b; what the panel has beyond is zero.
template <class T>
inline void pack_panel(const MatrixView<T>& b, std::int64_t depth, std::int64_t width, T* panel) {
  constexpr int kWidth = kPanelWidth<T>, kLanes = kWideLanes<T>;
  if (b.column_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k) {
      const T* row = b.data + k * b.row_stride;
      // Rows are short and far apart: the processor's own prefetching does not see them coming.
      __builtin_prefetch(row + 16 * b.row_stride, 0, 2);
      __builtin_prefetch(row + kWidth, 0, 2);
      if (width == kWidth) {
        T* to = panel + k * kWidth;
        simd_store(to, simd_load<WideSimd<T>>(row));
        simd_store(to + kLanes, simd_load<WideSimd<T>>(row + kLanes));
      } else {
        copy_elements(row, width, panel + k * kWidth);
      }
    }
  } else {
    simd_transpose(width, depth, b.data, b.column_stride, panel, kWidth);
  }
  for (std::int64_t k = 0; k < depth && width < kWidth; ++k) {
    for (std::int64_t j = width; j < kWidth; ++j) panel[k * kWidth + j] = 0;
  }
}

}  // namespace qmse::QMSE_ISA
