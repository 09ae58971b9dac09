#include "analysis/mlp/products.h"

#include "kernels/cpu/simd.h"

namespace qmse {
namespace {

using Vector = Simd<double>;
constexpr std::int64_t kLanes = kSimdLanes<double>;

// kRows rows of the product over kVectors * 4 samples: as many accumulators as registers hold.
template <int kRows, int kVectors, bool kAdd>
inline void product_tile(std::int64_t inner, WeightView w, SampleRows x, const double* bias,
                         MutableSampleRows out) {
  Vector sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kAdd) {
        sums[r][v] = simd_load(out.at + r * out.stride + v * kLanes);
      } else {
        sums[r][v] = bias == nullptr ? Vector{} : simd_set(bias[r]);
      }
    }
  }
  for (std::int64_t k = 0; k < inner; ++k) {
    Vector values[kVectors];
    for (int v = 0; v < kVectors; ++v) values[v] = simd_load(x.at + k * x.stride + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vector weight = simd_set(w.at[r * w.row_step + k * w.column_step]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = simd_fma(weight, values[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) simd_store(out.at + r * out.stride + v * kLanes, sums[r][v]);
  }
}

template <int kRows, bool kAdd>
inline void product_rows(std::int64_t inner, std::int64_t samples, WeightView w, SampleRows x,
                         const double* bias, MutableSampleRows out) {
  std::int64_t n = 0;
  for (; n + 2 * kLanes <= samples; n += 2 * kLanes)
    product_tile<kRows, 2, kAdd>(inner, w, {x.at + n, x.stride}, bias, {out.at + n, out.stride});
  for (; n < samples; n += kLanes)
    product_tile<kRows, 1, kAdd>(inner, w, {x.at + n, x.stride}, bias, {out.at + n, out.stride});
}

template <bool kAdd>
void product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w, SampleRows x,
             const double* bias, MutableSampleRows out) {
  std::int64_t r = 0;
  const auto from = [&](std::int64_t row) {
    return WeightView{w.at + row * w.row_step, w.row_step, w.column_step};
  };
  const auto bias_from = [&](std::int64_t row) { return bias == nullptr ? nullptr : bias + row; };
  for (; r + 4 <= rows; r += 4)
    product_rows<4, kAdd>(inner, samples, from(r), x, bias_from(r), {out.at + r * out.stride, out.stride});
  for (; r < rows; ++r)
    product_rows<1, kAdd>(inner, samples, from(r), x, bias_from(r), {out.at + r * out.stride, out.stride});
}

template <int kRows, int kColumns>
inline void outer_tile(std::int64_t samples, SampleRows d, SampleRows x, double* g, std::int64_t columns) {
  Vector sums[kRows][kColumns] = {};
  for (std::int64_t n = 0; n < samples; n += kLanes) {
    Vector values[kColumns];
    for (int k = 0; k < kColumns; ++k) values[k] = simd_load(x.at + k * x.stride + n);
    for (int r = 0; r < kRows; ++r) {
      const Vector delta = simd_load(d.at + r * d.stride + n);
      for (int k = 0; k < kColumns; ++k) sums[r][k] = simd_fma(delta, values[k], sums[r][k]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kColumns; ++k) {
      const Vector& s = sums[r][k];
      g[r * columns + k] += (s[0] + s[1]) + (s[2] + s[3]);
    }
  }
}

template <int kRows>
inline void outer_rows(std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x, double* g) {
  std::int64_t k = 0;
  for (; k + 2 <= columns; k += 2)
    outer_tile<kRows, 2>(samples, d, {x.at + k * x.stride, x.stride}, g + k, columns);
  if (k < columns) outer_tile<kRows, 1>(samples, d, {x.at + k * x.stride, x.stride}, g + k, columns);
}

}  // namespace

void layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w, SampleRows x,
                   const double* bias, MutableSampleRows out) {
  product<false>(rows, inner, samples, w, x, bias, out);
}

void add_layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w,
                       SampleRows x, MutableSampleRows out) {
  product<true>(rows, inner, samples, w, x, nullptr, out);
}

void add_outer_sums(std::int64_t rows, std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x,
                    double* g) {
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4)
    outer_rows<4>(columns, samples, {d.at + r * d.stride, d.stride}, x, g + r * columns);
  for (; r < rows; ++r) outer_rows<1>(columns, samples, {d.at + r * d.stride, d.stride}, x, g + r * columns);
}

void add_row_sums(std::int64_t rows, std::int64_t samples, SampleRows d, double* g) {
  for (std::int64_t r = 0; r < rows; ++r) {
    Vector sum{};
    for (std::int64_t n = 0; n < samples; n += kLanes) sum += simd_load(d.at + r * d.stride + n);
    g[r] += (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
}

}  // namespace qmse
