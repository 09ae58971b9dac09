#include "kernels/linear/sparse_gemm.h"

#include <utility>

#include "kernels/cpu/simd.h"
#include "kernels/linear/panel.h"

namespace qmse::QMSE_ISA {

namespace {

using V = WideSimd<float>;
constexpr int kLanes = kWideLanes<float>;
constexpr int kWidth = kPanelWidth<float>;
// As many vectors of sums as hide a multiplication's latency; with a block's depth they take 16 or 32 KiB.
constexpr int kPanels = 4;

void list(std::int64_t rows, std::int64_t columns, const float* a, std::int64_t a_row,
          const SparseBlock& to) {
  constexpr std::int32_t kNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (std::int64_t i = 0; i < rows; ++i, a += a_row) {
    float* values = to.values + i * kSparseDepth;
    std::int32_t* places = to.columns + i * kSparseDepth;
    std::int64_t count = 0;
    WideInt place = simd_load<WideInt>(kNumbers);
    std::int64_t k = 0;
    for (; k + kLanes <= columns; k += kLanes, place += kLanes) {
      const V value = simd_load<V>(a + k);
      count += simd_store_lanes(simd_nonzero(value), value, place, values + count, places + count);
    }
    for (; k < columns; ++k) {
      values[count] = a[k];
      places[count] = static_cast<std::int32_t>(k);
      if (a[k] != 0) ++count;
    }
    to.counts[i] = static_cast<std::int32_t>(count);
  }
}

// C [rows, panels * kWidth].
template <int panels, bool add>
void add_rows(std::int64_t rows, std::int64_t columns, const SparseBlock& a, const float* panel, float* c,
              std::int64_t c_row) {
  constexpr std::int64_t kPanel = kSparseDepth * kWidth;
  const bool whole = columns == panels * kWidth;
  float some[panels * kWidth] = {};
  for (std::int64_t i = 0; i < rows; ++i, c += c_row) {
    const float* values = a.values + i * kSparseDepth;
    const std::int32_t* places = a.columns + i * kSparseDepth;
    const std::int64_t count = a.counts[i];
    float* row = whole ? c : some;
    if (add && !whole) copy_elements(c, columns, some);
    V sum[panels][2];
#pragma GCC unroll 4
    for (int p = 0; p < panels; ++p) {
      // The next row is far away: the processor's own prefetching does not see it coming.
      __builtin_prefetch(c + c_row + p * kWidth, 1);
      __builtin_prefetch(c + c_row + p * kWidth + kLanes, 1);
      if constexpr (add) {
        sum[p][0] = simd_load<V>(row + p * kWidth);
        sum[p][1] = simd_load<V>(row + p * kWidth + kLanes);
      } else {
        sum[p][0] = sum[p][1] = V{};
      }
    }
    for (std::int64_t e = 0; e < count; ++e) {
      const V value = simd_set<V>(values[e]);
      const float* b = panel + places[e] * kWidth;
#pragma GCC unroll 4
      for (int p = 0; p < panels; ++p) {
        sum[p][0] = simd_fma(value, simd_load<V>(b + p * kPanel), sum[p][0]);
        sum[p][1] = simd_fma(value, simd_load<V>(b + p * kPanel + kLanes), sum[p][1]);
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < panels; ++p) {
      simd_store(row + p * kWidth, sum[p][0]);
      simd_store(row + p * kWidth + kLanes, sum[p][1]);
    }
    if (!whole) copy_elements(some, columns, c);
  }
}

void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, const SparseBlock& a,
              const MatrixView<float>& b, float* panel, float* c, std::int64_t c_row, bool add) {
  const std::int64_t panels = (columns + kWidth - 1) / kWidth;
  for (std::int64_t p = 0; p < panels; ++p) {
    const std::int64_t left = columns - p * kWidth;
    pack_panel<float>({b.data + p * kWidth * b.column_stride, b.row_stride, b.column_stride}, depth,
                      left < kWidth ? left : kWidth, panel + p * kSparseDepth * kWidth);
  }
  [&]<int... i>(std::integer_sequence<int, i...>) {
    ((panels != i + 1 ? void()
      : add           ? add_rows<i + 1, true>(rows, columns, a, panel, c, c_row)
                      : add_rows<i + 1, false>(rows, columns, a, panel, c, c_row)),
     ...);
  }
  (std::make_integer_sequence<int, kPanels>());
}

}  // namespace

extern const SparseGemm sparse_gemm = {kPanels * kWidth, list, multiply};

}  // namespace qmse::QMSE_ISA
