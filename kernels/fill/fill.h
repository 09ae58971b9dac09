// Fills an array with one value.
#pragma once

#include <cstdint>

#include "device/context.h"

namespace qmse {

// x[i] = value for i in [0, n), n >= 0. x needs no more alignment than its elements.
void fill(CpuContext& context, std::int64_t n, float value, float* x);
void fill(CpuContext& context, std::int64_t n, double value, double* x);
template <class Gpu>
void fill(Gpu& context, std::int64_t n, float value, float* x);

}  // namespace qmse
