#include "kernels/ensemble_mlp/ensemble_mlp.cuh"

#include "kernels/gpu/context.h"

namespace qmse {

template void ensemble_descent(GpuContext&, std::int64_t, EnsembleMember*, double*, const EnsembleSamples&,
                               const double*, std::int64_t, std::int64_t);

}  // namespace qmse
