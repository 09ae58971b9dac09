// Sums and scans whose order is fixed by the size alone.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

// Elements each partial sum of a norm covers; partial sums are f64 and added in index order.
inline constexpr std::int64_t kNormChunk = 4096;
inline constexpr std::int64_t norm_partials(std::int64_t n) { return (n + kNormChunk - 1) / kNormChunk; }

// *result = sum of x[i]^2 in f64; `partials` is scratch of norm_partials(n) doubles. All in device memory.
void sum_of_squares(CpuContext&, std::int64_t n, const float* x, double* partials, double* result);
void sum_of_squares(CpuContext&, std::int64_t n, const double* x, double* partials, double* result);
void sum_of_squares(CudaContext&, std::int64_t n, const float* x, double* partials, double* result);

// y += x, element by element: how the tape adds a second gradient to a first.
void add(CpuContext&, std::int64_t n, const float* x, float* y);
void add(CpuContext&, std::int64_t n, const double* x, double* y);
void add(CudaContext&, std::int64_t n, const float* x, float* y);

// *index = the first i whose x[i] is NaN or infinite, or n where all are finite. In device memory.
void first_non_finite(CpuContext&, std::int64_t n, const float* x, std::int64_t* index);
void first_non_finite(CpuContext&, std::int64_t n, const double* x, std::int64_t* index);
void first_non_finite(CudaContext&, std::int64_t n, const float* x, std::int64_t* index);

}  // namespace qmse
