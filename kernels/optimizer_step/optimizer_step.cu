#include "device/cuda_context.h"
#include "kernels/gpu/cuda_launcher.h"
#include "kernels/optimizer_step/optimizer_step.cuh"

namespace qmse {

template <class Rule>
void optimizer_step(CudaContext& context, const typename Rule::Hyper& hyper,
                    const OptimizerArgs<float>& args) {
  CudaLauncher launcher(context.stream());
  launch_optimizer_step<Rule>(launcher, hyper, args);
}

#define QMSE_INSTANTIATE(Rule) \
  template void optimizer_step<Rule>(CudaContext&, const Rule::Hyper&, const OptimizerArgs<float>&);
QMSE_OPTIMIZER_RULES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
