// C = A B or C += A B on one thread for an A with many zeros: its elements that are not zero are listed row by
// row, a block of columns at a time, and meet panels of B that stay in the first-level cache.
//
// An element of C is the chain of gemm(), without the terms of A's zeros: the same bits for finite B, but for
// the sign of a sum that underflows to -0.
#pragma once

#include <cstdint>

#include "kernels/cpu/dispatch.h"
#include "kernels/linear/gemm.h"

namespace qmse {

inline constexpr std::int64_t kSparseDepth = 64;  // columns of a block

// The lists of a block's rows, kSparseDepth apart: values, and their columns within the block.
struct SparseBlock {
  float* values = nullptr;
  std::int32_t* columns = nullptr;
  std::int32_t* counts = nullptr;
};

struct SparseGemm {
  // Columns of C that one packing of B serves, and of the panel that the caller provides: kSparseDepth times as
  // many floats, aligned to 64 bytes.
  std::int64_t width;
  // Up to kSparseDepth contiguous columns of `rows` rows, `a_row` apart.
  void (*list)(std::int64_t rows, std::int64_t columns, const float* a, std::int64_t a_row,
               const SparseBlock& to);
  // C [rows, up to `width`], rows `c_row` apart, of a block and the `depth` rows of B that are its columns'.
  void (*multiply)(std::int64_t rows, std::int64_t columns, std::int64_t depth, const SparseBlock& a,
                   const MatrixView<float>& b, float* panel, float* c, std::int64_t c_row, bool add);
};
QMSE_FOR_EACH_ISA(extern const SparseGemm sparse_gemm;)

}  // namespace qmse
