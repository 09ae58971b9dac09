// A step's sums on the GPU, in one kernel: a block for each chunk of the gradient and one for the batch. The
// block that is done last adds the chunks' sums, in an order that does not depend on which block it is.
#pragma once

#include <cstdint>
#include <type_traits>

#include "device/launch.h"
#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/step_totals/flat_chunks.cuh"
#include "kernels/step_totals/step_totals.h"
#include "kernels/step_totals/step_totals_math.h"

namespace qmse::device {

inline constexpr unsigned kBatchSumThreads = 256;  // of a block; the order of a batch's sums depends on it

// This thread's part of a batch's sums.
__device__ __forceinline__ SampleSums batch_sums_part(const StepTotalsArgs<float>& args) {
  SampleSums sums;
  if (threadIdx.x >= kBatchSumThreads) return sums;
  for (std::int64_t i = threadIdx.x; i < args.batch; i += kBatchSumThreads) sums.add_sample(args, i);
  return sums;
}

// This thread's part of the sum of squares of its block's chunk.
__device__ __forceinline__ double squares_part(const StepTotalsArgs<float>& args, bool aligned) {
  double sum = 0;
#pragma unroll
  for (int group = 0; group < kChunkGroups; ++group) {
    const Group<float, 4> four = load_group<4>(args.gradients, chunk_group_begin(group), args.n, aligned);
#pragma unroll
    for (int k = 0; k < 4; ++k) sum += static_cast<double>(four.v[k]) * static_cast<double>(four.v[k]);
  }
  return sum;
}

__global__ void __launch_bounds__(kChunkThreads)
    step_totals_kernel(StepTotalsArgs<float> args, bool aligned) {
  __shared__ SharedArray<double, kMaxWarps> f64_scratch;
  __shared__ SharedArray<long long, kMaxWarps> count_scratch;
  __shared__ SharedArray<bool, 1> is_last;
  auto* const workspace = static_cast<StepTotalsWorkspace*>(args.workspace);
  auto* const partials = reinterpret_cast<double*>(workspace + 1);
  const unsigned chunks = gridDim.x - 1;
  if (blockIdx.x == chunks) {
    SampleSums sums = batch_sums_part(args);
    SampleSums::members([&](const char*, auto member) {
      if constexpr (std::is_same_v<decltype(member), double SampleSums::*>) {
        sums.*member = block_reduce(sums.*member, Sum(), f64_scratch);
      } else {
        sums.*member = block_reduce(static_cast<long long>(sums.*member), Sum(), count_scratch);
      }
    });
    if (threadIdx.x == 0) workspace->batch = sums;
  } else {
    const double sum = block_reduce(squares_part(args, aligned), Sum(), f64_scratch);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
  }
  if (threadIdx.x == 0) {
    static_assert(sizeof(unsigned long long) == sizeof(workspace->blocks_done), "atomicAdd's type");
    __threadfence();  // what this block wrote comes before its count, ...
    is_last[0] = atomicAdd(reinterpret_cast<unsigned long long*>(&workspace->blocks_done), 1ull) == chunks;
    __threadfence();  // ... and what the others wrote before their counts is read after it
  }
  __syncthreads();
  if (!is_last[0]) return;
  double norm_sq = 0;
  for (unsigned i = threadIdx.x; i < chunks; i += kChunkThreads) norm_sq += partials[i];
  norm_sq = block_reduce(norm_sq, Sum(), f64_scratch);
  if (threadIdx.x != 0) return;
  workspace->blocks_done = 0;  // for the next call
  add_step(workspace->batch, norm_sq, args);
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void step_totals(Gpu& gpu, const StepTotalsArgs<float>& args) {
  using namespace device;
  const unsigned chunks = args.n > 0 ? grid_blocks(args.n, kFlatChunk) : 0;
  gpu.launch(QMSE_KERNEL(step_totals_kernel), LaunchShape{chunks + 1, kChunkThreads}, args,
             aligned_for<4>(args.gradients));
}

}  // namespace qmse
