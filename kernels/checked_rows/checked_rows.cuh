// See checked_rows.h. One kernel before the loss, one after it, which also takes the mean.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/launch.h"
#include "kernels/checked_rows/checked_rows.h"
#include "kernels/gpu/cuda_names.h"
#include "kernels/gpu/reduce.cuh"

namespace qmse::device {

inline constexpr unsigned kCheckThreads = 256;
inline constexpr unsigned kFinishThreads = 1024;

__device__ inline std::int64_t given_integer(const GivenIntegers& given, std::int64_t i) {
  return given.wide ? static_cast<const std::int64_t*>(given.data)[i]
                    : static_cast<const std::int32_t*>(given.data)[i];
}

__global__ void __launch_bounds__(kCheckThreads)
    check_rows_kernel(std::int64_t batch, std::int64_t classes, GivenIntegers labels, GivenIntegers ids,
                      CheckedRows checked) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kCheckThreads + threadIdx.x;
  if (row >= batch) return;
  bool valid = true;
  if (checked.labels != nullptr) {
    const std::int64_t label = given_integer(labels, row);
    const bool fits = label >= 0 && label < classes;
    checked.labels[row] = fits ? static_cast<std::int32_t>(label) : 0;
    valid = valid && fits;
  }
  if (checked.sample_ids != nullptr) {
    const std::int64_t id = ids.data != nullptr ? given_integer(ids, row) : row;
    const bool fits = id >= 0 && id < 0xFFFFFFFF;
    checked.sample_ids[row] = fits ? static_cast<std::uint32_t>(id) : 0u;
    valid = valid && fits;
  }
  checked.valid[row] = valid ? 1 : 0;
}

// One block: a fixed tree of the batch's size alone.
__global__ void __launch_bounds__(kFinishThreads)
    finish_rows_kernel(std::int64_t batch, std::int64_t classes, const std::int32_t* __restrict__ valid,
                       FinishedRows rows) {
  __shared__ SharedArray<double, kMaxWarps> scratch;
  double sum = 0;
  for (std::int64_t row = threadIdx.x; row < batch; row += kFinishThreads) {
    if (valid != nullptr && valid[row] == 0) {
      rows.sample_loss[row] = NAN;
      rows.residual_sq[row] = NAN;
      rows.correct[row] = 0;
      for (std::int64_t i = row * classes; i < (row + 1) * classes; ++i) {
        if (rows.gradient != nullptr) rows.gradient[i] = 0;
        if (rows.v != nullptr) rows.v[i] = 0;
      }
    }
    sum += static_cast<double>(rows.sample_loss[row]);
  }
  sum = block_reduce(sum, Sum(), scratch);
  if (threadIdx.x == 0 && rows.mean_loss != nullptr) {
    *rows.mean_loss = static_cast<float>(sum / static_cast<double>(batch));
  }
}

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void check_rows(Gpu& gpu, std::int64_t batch, std::int64_t classes, const GivenIntegers& labels,
                const GivenIntegers& ids, const CheckedRows& checked) {
  using namespace device;
  if (batch == 0) return;
  gpu.launch(QMSE_KERNEL(check_rows_kernel), LaunchShape{grid_blocks(batch, kCheckThreads), kCheckThreads},
             batch, classes, labels, ids, checked);
}

// `valid` as check_rows() wrote it; null: all are. A batch of 0 rows has the mean NaN.
template <class Gpu>
void finish_rows(Gpu& gpu, std::int64_t batch, std::int64_t classes, const std::int32_t* valid,
                 const FinishedRows& rows) {
  using namespace device;
  gpu.launch(QMSE_KERNEL(finish_rows_kernel), LaunchShape{1, kFinishThreads}, batch, classes, valid, rows);
}

}  // namespace qmse
