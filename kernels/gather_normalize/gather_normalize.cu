#include "kernels/gather_normalize/gather_normalize.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void gather_normalize(GpuContext&, const GatherArgs<float>&);

}  // namespace qmse
