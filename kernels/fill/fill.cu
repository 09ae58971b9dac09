#include "kernels/fill/fill.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void fill(GpuContext& context, std::int64_t n, float value, float* x);

}  // namespace qmse
