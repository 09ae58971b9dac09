// Epoch metrics on the GPU: one block, a fixed tree.
#pragma once

#include <cstdint>

#include "kernels/epoch_metrics/epoch_metrics.h"
#include "kernels/epoch_metrics/epoch_metrics_math.h"
#include "kernels/gpu/cuda_names.h"
#include "kernels/gpu/launch.h"
#include "kernels/reduce/block_reduce.cuh"

namespace qmse {

inline constexpr unsigned kMetricsThreads = 256;

__global__ void __launch_bounds__(kMetricsThreads)
    accumulate_metrics_kernel(std::int64_t batch, const float* __restrict__ sample_loss,
                              const float* __restrict__ residual_sq, const std::int32_t* __restrict__ correct,
                              bool halts, EpochMetrics* metrics) {
  __shared__ SharedArray<double, kMostWarps> f64_scratch;
  __shared__ SharedArray<long long, kMostWarps> count_scratch;
  double loss = 0, residual = 0;
  long long count = 0;
  for (std::int64_t i = threadIdx.x; i < batch; i += kMetricsThreads) {
    loss += static_cast<double>(sample_loss[i]);
    residual += static_cast<double>(residual_sq[i]);
    count += correct[i];
  }
  BatchSums sums;
  sums.loss = block_reduce(loss, Sum(), f64_scratch);
  sums.residual_sq = block_reduce(residual, Sum(), f64_scratch);
  sums.correct = block_reduce(count, Sum(), count_scratch);
  if (threadIdx.x == 0) add_batch(sums, batch, halts, *metrics);
}

template <class Launcher>
void launch_accumulate_metrics(Launcher& launcher, std::int64_t batch, const float* sample_loss,
                               const float* residual_sq, const std::int32_t* correct, bool halts,
                               EpochMetrics* metrics) {
  launcher.launch(QMSE_KERNEL(accumulate_metrics_kernel), LaunchShape{1, kMetricsThreads}, batch, sample_loss,
                  residual_sq, correct, halts, metrics);
}

}  // namespace qmse
