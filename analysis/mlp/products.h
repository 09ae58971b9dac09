// The three matrix products of a fully connected layer over samples: the sample is the fastest index, so that
// lanes are samples. Every element is one chain of fused multiply-adds in the order of its index, whatever
// the sizes around it: two units with equal parameters get equal bits. (Sums over samples are taken by lane.)
#pragma once

#include <cstdint>

namespace qmse {

// Rows of `samples` doubles, a multiple of 4, `stride` doubles apart.
struct SampleRows {
  const double* at = nullptr;
  std::int64_t stride = 0;
};
struct MutableSampleRows {
  double* at = nullptr;
  std::int64_t stride = 0;
  operator SampleRows() const { return {at, stride}; }  // NOLINT(google-explicit-constructor)
};

// A matrix, or its transpose: element (row, column) is at[row * row_step + column * column_step].
struct WeightView {
  const double* at = nullptr;
  std::int64_t row_step = 0, column_step = 0;
};

// out[r][n] = start + sum_k w(r, k) x[k][n], where the start is bias[r], or 0 without a bias, or out[r][n].
void layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w, SampleRows x,
                   const double* bias, MutableSampleRows out);
void add_layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w,
                       SampleRows x, MutableSampleRows out);
// out[r][n] = factor[r][n] * sum_k w(r, k) x[k][n]
void scaled_layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w,
                          SampleRows x, SampleRows factor, MutableSampleRows out);

// g[r * columns + k] += sum_n d[r][n] x[k][n]
void add_outer_sums(std::int64_t rows, std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x,
                    double* g);

// g[r] += sum_n d[r][n]
void add_row_sums(std::int64_t rows, std::int64_t samples, SampleRows d, double* g);

}  // namespace qmse
