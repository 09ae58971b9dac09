// A kernel for the planted mistakes.
#pragma once

#include <cstdint>

#include "device/cuda_context.h"

namespace qmse::test {

// x[i] = value for i in [0, n), n > 0.
void fill(CudaContext& context, std::int64_t n, float value, float* x);

}  // namespace qmse::test
