#include "analysis/mlp/products.h"

#include <algorithm>

#include "kernels/cpu/simd.h"

namespace qmse {
namespace {

using Vector = Simd<double>;
constexpr std::int64_t kLanes = kSimdLanes<double>;

// A tile has kRows rows of one side and some vectors or rows of the other: enough sums at once to hide the
// latency of a fused multiply-add, and no more than the registers hold beside what is read.
constexpr int kTileRows = 4;
template <int kRows>
constexpr int kTileWidth = kRows == 1   ? 8
                           : kRows == 2 ? 4
                                        : 3;

enum class Into { set, add, scaled };

// What a product is made of, from some row on.
struct Product {
  std::int64_t inner;
  WeightView w;
  SampleRows x, factor;
  const double* bias;
  MutableSampleRows out;

  Product from(std::int64_t row) const {
    Product rest = *this;
    rest.w.at += row * w.row_step;
    if (factor.at != nullptr) rest.factor.at += row * factor.stride;
    if (bias != nullptr) rest.bias += row;
    rest.out.at += row * out.stride;
    return rest;
  }
};

template <int kRows, int kVectors, Into kInto>
inline void product_tile(const Product& p, std::int64_t n) {
  Vector sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    const Vector start = simd_set(p.bias == nullptr ? 0.0 : p.bias[r]);
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = kInto == Into::add ? simd_load(p.out.at + r * p.out.stride + n + v * kLanes) : start;
    }
  }
  for (std::int64_t k = 0; k < p.inner; ++k) {
    Vector values[kVectors];
    for (int v = 0; v < kVectors; ++v) values[v] = simd_load(p.x.at + k * p.x.stride + n + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vector weight = simd_set(p.w.at[r * p.w.row_step + k * p.w.column_step]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = simd_fma(weight, values[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kInto == Into::scaled)
        sums[r][v] = sums[r][v] * simd_load(p.factor.at + r * p.factor.stride + n + v * kLanes);
      simd_store(p.out.at + r * p.out.stride + n + v * kLanes, sums[r][v]);
    }
  }
}

// From sample n on.
template <int kRows, int kVectors, Into kInto>
inline void product_rows(const Product& p, std::int64_t n, std::int64_t samples) {
  for (; n + kVectors * kLanes <= samples; n += kVectors * kLanes) product_tile<kRows, kVectors, kInto>(p, n);
  if constexpr (kVectors > 1) {
    if (n < samples) product_rows<kRows, kVectors - 1, kInto>(p, n, samples);
  }
}

template <int kRows, Into kInto>
void product(std::int64_t rows, std::int64_t samples, const Product& p) {
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) product_rows<kRows, kTileWidth<kRows>, kInto>(p.from(r), 0, samples);
  if constexpr (kRows > 1) {
    if (r < rows) product<kRows - 1, kInto>(rows - r, samples, p.from(r));
  }
}

// Each sum over its lanes, (s[0] + s[1]) + (s[2] + s[3]), is added to its number: number i is to[i / kColumns *
// stride + i % kColumns]. Four sums at a time, all places known at compile time, so that nothing leaves the
// registers.
template <int kColumns, int kCount, int kFirst = 0>
inline void add_lane_sums(const Vector (&sums)[kCount], double* to, std::int64_t stride) {
  constexpr int kNumber = std::min(4, kCount - kFirst);
  Vector lanes[4] = {};
  for (int k = 0; k < kNumber; ++k) lanes[k] = sums[kFirst + k];
  simd_transpose(lanes);
  const Vector total = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  for (int k = 0; k < kNumber; ++k)
    to[(kFirst + k) / kColumns * stride + (kFirst + k) % kColumns] += total[k];
  if constexpr (kFirst + 4 < kCount) add_lane_sums<kColumns, kCount, kFirst + 4>(sums, to, stride);
}

template <int kRows, int kColumns>
inline void outer_tile(std::int64_t samples, SampleRows d, SampleRows x, double* g, std::int64_t columns) {
  Vector sums[kRows * kColumns] = {};
  for (std::int64_t n = 0; n < samples; n += kLanes) {
    Vector values[kColumns];
    for (int k = 0; k < kColumns; ++k) values[k] = simd_load(x.at + k * x.stride + n);
    for (int r = 0; r < kRows; ++r) {
      const Vector delta = simd_load(d.at + r * d.stride + n);
      for (int k = 0; k < kColumns; ++k)
        sums[r * kColumns + k] = simd_fma(delta, values[k], sums[r * kColumns + k]);
    }
  }
  add_lane_sums<kColumns>(sums, g, columns);
}

// From column k on. A single column is left over only where there is no other: its tile is the slowest.
template <int kRows, int kColumns>
inline void outer_rows(std::int64_t k, std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x,
                       double* g) {
  for (; k + kColumns <= columns && (kColumns <= 2 || k + kColumns + 1 != columns); k += kColumns)
    outer_tile<kRows, kColumns>(samples, d, {x.at + k * x.stride, x.stride}, g + k, columns);
  if constexpr (kColumns > 1) {
    if (k < columns) outer_rows<kRows, kColumns - 1>(k, columns, samples, d, x, g);
  }
}

template <int kRows>
void outer(std::int64_t rows, std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x,
           double* g) {
  std::int64_t r = 0;
  const auto from = [&](std::int64_t row) { return SampleRows{d.at + row * d.stride, d.stride}; };
  for (; r + kRows <= rows; r += kRows)
    outer_rows<kRows, kTileWidth<kRows>>(0, columns, samples, from(r), x, g + r * columns);
  if constexpr (kRows > 1) {
    if (r < rows) outer<kRows - 1>(rows - r, columns, samples, from(r), x, g + r * columns);
  }
}

template <int kRows>
void row_sums(std::int64_t rows, std::int64_t samples, SampleRows d, double* g) {
  std::int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    Vector sums[kRows] = {};
    for (std::int64_t n = 0; n < samples; n += kLanes) {
      for (int i = 0; i < kRows; ++i) sums[i] += simd_load(d.at + (r + i) * d.stride + n);
    }
    add_lane_sums<kRows>(sums, g + r, 0);
  }
  if constexpr (kRows > 1) {
    if (r < rows) row_sums<kRows - 1>(rows - r, samples, {d.at + r * d.stride, d.stride}, g + r);
  }
}

}  // namespace

void layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w, SampleRows x,
                   const double* bias, MutableSampleRows out) {
  product<kTileRows, Into::set>(rows, samples, {inner, w, x, {}, bias, out});
}

void add_layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w,
                       SampleRows x, MutableSampleRows out) {
  product<kTileRows, Into::add>(rows, samples, {inner, w, x, {}, nullptr, out});
}

void scaled_layer_product(std::int64_t rows, std::int64_t inner, std::int64_t samples, WeightView w,
                          SampleRows x, SampleRows factor, MutableSampleRows out) {
  product<kTileRows, Into::scaled>(rows, samples, {inner, w, x, factor, nullptr, out});
}

void add_outer_sums(std::int64_t rows, std::int64_t columns, std::int64_t samples, SampleRows d, SampleRows x,
                    double* g) {
  outer<kTileRows>(rows, columns, samples, d, x, g);
}

void add_row_sums(std::int64_t rows, std::int64_t samples, SampleRows d, double* g) {
  row_sums<8>(rows, samples, d, g);
}

}  // namespace qmse
