// A kernel for the planted mistakes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda_context.h"

namespace qmse::test {

// x[i] = value for i in [0, n), n > 0. The shared memory is given and not used.
void fill(CudaContext& context, std::int64_t n, float value, float* x, std::size_t shared_bytes = 0);

}  // namespace qmse::test
