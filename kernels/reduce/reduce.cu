#include "kernels/reduce/reduce.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void add(GpuContext&, std::int64_t n, const float* x, float* y);
template void first_non_finite(GpuContext&, std::int64_t n, const float* x, std::int64_t* index);

}  // namespace qmse
