// C = A B or C += A B on one thread, for matrices as they lie or transposed: the inner loop of the plain
// convolution and of the fully connected layer.
//
// Each element is one chain of fused multiply-adds over k, so its bits depend neither on where it stands, nor
// on how a caller cuts M and N, nor on the instruction set.
#pragma once

#include <cstdint>

#include "kernels/cpu/dispatch.h"

namespace qmse {

// Element (row, column) is data[row * row_stride + column * column_stride]. One of the strides is 1.
template <class T>
struct MatrixView {
  const T* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 0;
};

// C [M, N] with rows `c_row` apart and contiguous columns; A is M x K and B is K x N. Adds to C where `add`.
template <class T>
using Gemm = void(std::int64_t M, std::int64_t N, std::int64_t K, const MatrixView<T>& a,
                  const MatrixView<T>& b, T* c, std::int64_t c_row, bool add);

QMSE_FOR_EACH_ISA(template <class T> void gemm(std::int64_t M, std::int64_t N, std::int64_t K,
                                               const MatrixView<T>& a, const MatrixView<T>& b, T* c,
                                               std::int64_t c_row, bool add);)

}  // namespace qmse
