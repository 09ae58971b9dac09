// Adam on the GPU: the gradient's norm, then the update, one block for each chunk of kNormChunk elements.
#pragma once

#include <cstdint>

#include "kernels/adam/adam.h"
#include "kernels/adam/adam_math.h"
#include "kernels/core/elements.cuh"
#include "kernels/core/launch.h"
#include "kernels/reduce/norm.cuh"
#include "kernels/reduce/reduce_math.h"

namespace qmse {

__global__ void __launch_bounds__(kNormThreads)
    adam_kernel(AdamHyper hyper, AdamArgs<float> args, bool aligned) {
  if (halted(args.halt, *args.gradient_norm_sq)) return;
  // The step's numbers take two powers in f64: one thread makes them while the others' loads are under way.
  __shared__ SharedArray<AdamRule<float>, 1> shared_rule;
  if (threadIdx.x == 0) shared_rule[0] = AdamRule<float>(hyper, *args.learning_rate, *args.step);
  Group<float, 4> g[kNormGroups], w[kNormGroups], m[kNormGroups], s[kNormGroups];
#pragma unroll
  for (int group = 0; group < kNormGroups; ++group) {
    const std::int64_t i = norm_group_begin(group);
    g[group] = load_group<4>(args.gradients, i, args.n, aligned);
    w[group] = load_group<4>(static_cast<const float*>(args.weights), i, args.n, aligned);
    m[group] = load_group<4>(static_cast<const float*>(args.first_moments), i, args.n, aligned);
    s[group] = load_group<4>(static_cast<const float*>(args.second_moments), i, args.n, aligned);
  }
  __syncthreads();
  const AdamRule<float> rule = shared_rule[0];
#pragma unroll
  for (int group = 0; group < kNormGroups; ++group) {
    const std::int64_t i = norm_group_begin(group);
#pragma unroll
    for (int k = 0; k < 4; ++k) rule.update(g[group].v[k], w[group].v[k], m[group].v[k], s[group].v[k]);
    store_group(args.weights, i, args.n, aligned, w[group]);
    store_group(args.first_moments, i, args.n, aligned, m[group]);
    store_group(args.second_moments, i, args.n, aligned, s[group]);
  }
}

template <class Launcher>
void launch_adam(Launcher& launcher, const AdamHyper& hyper, const AdamArgs<float>& args) {
  launch_sum_of_squares(launcher, args.n, args.gradients, args.partials, args.gradient_norm_sq);
  if (args.n > 0) {
    launcher.launch(QMSE_KERNEL(adam_kernel), LaunchShape{grid_blocks(args.n, kNormChunk), kNormThreads},
                    hyper, args,
                    aligned_for<4>(args.weights, args.gradients, args.first_moments, args.second_moments));
  }
}

}  // namespace qmse
