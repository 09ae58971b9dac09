// An optimizer's update on the GPU, one block for each chunk of kFlatChunk elements.
#pragma once

#include <cstdint>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/optimizer_step/rules.h"
#include "kernels/step_totals/flat_chunks.cuh"

namespace qmse::device {

template <class Rule, unsigned kept>
__global__ void __launch_bounds__(kChunkThreads)
    optimizer_step_kernel(typename Rule::Hyper hyper, OptimizerArgs<float> args, bool aligned) {
  if (args.is_held()) return;
  // A step's numbers may take powers in f64: one thread makes them while the others' loads are under way.
  using Step = typename Rule::template Step<float>;
  __shared__ SharedArray<Step, 1> shared_step;
  if (threadIdx.x == 0) shared_step[0] = Step(hyper, *args.learning_rate, *args.step);
  // Every load is on its way before the first result is stored: the compiler does not know the buffers apart.
  Group<float, 4> g[kChunkGroups], w[kChunkGroups], s[kMaxOptimizerStates][kChunkGroups];
#pragma unroll
  for (int group = 0; group < kChunkGroups; ++group) {
    const std::int64_t i = chunk_group_begin(group);
    g[group] = load_group<4>(args.gradients, i, args.n, aligned);
    w[group] = load_group<4>(static_cast<const float*>(args.weights), i, args.n, aligned);
#pragma unroll
    for (int k = 0; k < kMaxOptimizerStates; ++k) {
      if ((kept >> k & 1) != 0) {
        s[k][group] = load_group<4>(static_cast<const float*>(args.states[k]), i, args.n, aligned);
      } else {
        s[k][group] = {};
      }
    }
  }
  __syncthreads();
  const Step step = shared_step[0];
#pragma unroll
  for (int group = 0; group < kChunkGroups; ++group) {
    const std::int64_t i = chunk_group_begin(group);
#pragma unroll
    for (int element = 0; element < 4; ++element) {
      float states[kMaxOptimizerStates];
#pragma unroll
      for (int k = 0; k < kMaxOptimizerStates; ++k) states[k] = s[k][group].v[element];
      step.template update<kept>(g[group].v[element], w[group].v[element], states);
#pragma unroll
      for (int k = 0; k < kMaxOptimizerStates; ++k) s[k][group].v[element] = states[k];
    }
    store_group(args.weights, i, args.n, aligned, w[group]);
#pragma unroll
    for (int k = 0; k < kMaxOptimizerStates; ++k) {
      if ((kept >> k & 1) != 0) store_group(args.states[k], i, args.n, aligned, s[k][group]);
    }
  }
}

template <class Rule, unsigned kept, class Gpu>
void update_kept(Gpu& gpu, const typename Rule::Hyper& hyper, const OptimizerArgs<float>& args) {
  bool aligned = aligned_for<4>(args.weights, args.gradients);
  for (int k = 0; k < kMaxOptimizerStates; ++k) {
    if ((kept >> k & 1) != 0) aligned = aligned && aligned_for<4>(args.states[k]);
  }
  gpu.launch(QMSE_KERNEL(optimizer_step_kernel<Rule, kept>),
             LaunchShape{grid_blocks(args.n, kFlatChunk), kChunkThreads}, hyper, args, aligned);
}

template <class Rule, class Gpu, unsigned... sets>
void one_update(Gpu& gpu, const typename Rule::Hyper& hyper, const OptimizerArgs<float>& args,
                KeptStates<sets...>) {
  const unsigned kept = Rule::kept(hyper);
  ((kept == sets ? update_kept<Rule, sets>(gpu, hyper, args) : void()), ...);
}

}  // namespace qmse::device

namespace qmse {

template <class Rule, class Gpu, class>
void optimizer_step(Gpu& gpu, const typename Rule::Hyper& hyper, const OptimizerArgs<float>& args) {
  using namespace device;
  if (args.n > 0) one_update<Rule>(gpu, hyper, args, typename Rule::Kept());
}

}  // namespace qmse
