// SGD on the GPU: the gradient's norm, then the update, one block for each chunk of kNormChunk elements.
#pragma once

#include <cstdint>

#include "kernels/core/elements.cuh"
#include "kernels/core/launch.h"
#include "kernels/reduce/norm.cuh"
#include "kernels/reduce/reduce_math.h"
#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_math.h"

namespace qmse {

template <bool with_momentum>
__global__ void __launch_bounds__(kNormThreads)
    sgd_kernel(SgdHyper hyper, SgdArgs<float> args, bool aligned) {
  if (halted(args.halt, *args.gradient_norm_sq)) return;
  // Every load is on its way before the first result is stored: the compiler does not know the buffers apart.
  Group<float, 4> g[kNormGroups], w[kNormGroups], m[kNormGroups];
#pragma unroll
  for (int group = 0; group < kNormGroups; ++group) {
    const std::int64_t i = norm_group_begin(group);
    g[group] = load_group<4>(args.gradients, i, args.n, aligned);
    w[group] = load_group<4>(static_cast<const float*>(args.weights), i, args.n, aligned);
    if constexpr (with_momentum) {
      m[group] = load_group<4>(static_cast<const float*>(args.momenta), i, args.n, aligned);
    } else {
      m[group] = {};
    }
  }
  const SgdRule<float> rule(hyper, *args.learning_rate);
#pragma unroll
  for (int group = 0; group < kNormGroups; ++group) {
    const std::int64_t i = norm_group_begin(group);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      rule.update<with_momentum>(g[group].v[k], w[group].v[k], m[group].v[k]);
    }
    store_group(args.weights, i, args.n, aligned, w[group]);
    if constexpr (with_momentum) store_group(args.momenta, i, args.n, aligned, m[group]);
  }
}

template <class Launcher>
void launch_sgd(Launcher& launcher, const SgdHyper& hyper, const SgdArgs<float>& args) {
  launch_sum_of_squares(launcher, args.n, args.gradients, args.partials, args.gradient_norm_sq);
  if (args.n > 0) {
    const LaunchShape shape{grid_blocks(args.n, kNormChunk), kNormThreads};
    if (hyper.momentum != 0) {
      launcher.launch(QMSE_KERNEL(sgd_kernel<true>), shape, hyper, args,
                      aligned_for<4>(args.weights, args.gradients, args.momenta));
    } else {
      launcher.launch(QMSE_KERNEL(sgd_kernel<false>), shape, hyper, args,
                      aligned_for<4>(args.weights, args.gradients));
    }
  }
}

}  // namespace qmse
