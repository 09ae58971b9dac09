// Sums of buffers, and a search in one.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

// y += x, element by element: how the tape adds a second gradient to a first.
void add(CpuContext&, std::int64_t n, const float* x, float* y);
void add(CpuContext&, std::int64_t n, const double* x, double* y);
template <class Gpu>
void add(Gpu&, std::int64_t n, const float* x, float* y);

// *index = the first i whose x[i] is NaN or infinite, or n where all are finite. In device memory.
void first_non_finite(CpuContext&, std::int64_t n, const float* x, std::int64_t* index);
void first_non_finite(CpuContext&, std::int64_t n, const double* x, std::int64_t* index);
template <class Gpu>
void first_non_finite(Gpu&, std::int64_t n, const float* x, std::int64_t* index);

}  // namespace qmse
