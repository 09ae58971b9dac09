// Softmax and log-softmax on the GPU: a warp for each short row, a block for each longer one, whose threads
// pass over it as often as it takes (the row comes from a cache after the first time).
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/launch.h"
#include "kernels/reduce/block_reduce.cuh"
#include "kernels/softmax/softmax.h"
#include "kernels/softmax/softmax_math.h"

namespace qmse {

// Teams: the threads that share a row. Each takes groups of kElements elements.
struct WarpTeam {
  static constexpr unsigned kBlock = 128;
  static constexpr unsigned kSize = kWarpSize;
  static constexpr int kElements = 1;
  static constexpr std::int64_t kLongestRow = 1024;
  template <class Fold>
  static __device__ float reduce(float value, Fold fold) {
    return warp_reduce(value, fold);
  }
};

struct BlockTeam {
  static constexpr unsigned kBlock = 512;
  static constexpr unsigned kSize = kBlock;
  static constexpr int kElements = 4;
  template <class Fold>
  static __device__ float reduce(float value, Fold fold) {
    __shared__ SharedArray<float, kMostWarps> scratch;
    return block_reduce(value, fold, scratch);
  }
};

// Calls body(i) for the first element i of each of this thread's groups in a row.
template <class Team, class Body>
__device__ __forceinline__ void for_row_groups(std::int64_t columns, const Body& body) {
  constexpr std::int64_t kStep = static_cast<std::int64_t>(Team::kSize) * Team::kElements;
  for (std::int64_t i = threadIdx.x % Team::kSize * Team::kElements; i < columns; i += kStep) body(i);
}

// The row of this thread's team.
template <class Team>
__device__ __forceinline__ std::int64_t team_row() {
  return static_cast<std::int64_t>(blockIdx.x) * (Team::kBlock / Team::kSize) + threadIdx.x / Team::kSize;
}

// `y` may be `x`: every pass gives a thread the same elements.
template <SoftmaxKind kind, class Team>
__global__ void __launch_bounds__(Team::kBlock)
    softmax_forward_kernel(std::int64_t rows, std::int64_t columns, const float* x, float* y, bool aligned) {
  constexpr int n = Team::kElements;
  const std::int64_t row = team_row<Team>();
  if (row >= rows) return;  // the whole team
  x += row * columns;
  y += row * columns;
  SoftmaxRow<float> shared{-INFINITY, 0.0f};
  for_row_groups<Team>(columns, [&](std::int64_t i) {
    const Group<float, n> group = load_group<n>(x, i, columns, aligned);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      if (i + k < columns) shared.largest = Largest()(shared.largest, group.v[k]);
    }
  });
  shared.largest = Team::reduce(shared.largest, Largest());
  for_row_groups<Team>(columns, [&](std::int64_t i) {
    const Group<float, n> group = load_group<n>(x, i, columns, aligned);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      if (i + k < columns) shared.sum += softmax_term(group.v[k], shared.largest);
    }
  });
  shared.sum = Team::reduce(shared.sum, Sum());
  for_row_groups<Team>(columns, [&](std::int64_t i) {
    Group<float, n> group = load_group<n>(x, i, columns, aligned);
#pragma unroll
    for (int k = 0; k < n; ++k) group.v[k] = softmax_value<kind>(group.v[k], shared);
    store_group(y, i, columns, aligned, group);
  });
}

template <SoftmaxKind kind, class Team>
__global__ void __launch_bounds__(Team::kBlock)
    softmax_backward_kernel(std::int64_t rows, std::int64_t columns, const float* y, const float* dy,
                            float* dx, bool aligned) {
  constexpr int n = Team::kElements;
  const std::int64_t row = team_row<Team>();
  if (row >= rows) return;  // the whole team
  y += row * columns;
  dy += row * columns;
  dx += row * columns;
  float sum = 0;
  for_row_groups<Team>(columns, [&](std::int64_t i) {
    const Group<float, n> output = load_group<n>(y, i, columns, aligned);
    const Group<float, n> gradient = load_group<n>(dy, i, columns, aligned);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      if (i + k < columns) sum += softmax_gradient_term<kind>(output.v[k], gradient.v[k]);
    }
  });
  sum = Team::reduce(sum, Sum());
  for_row_groups<Team>(columns, [&](std::int64_t i) {
    const Group<float, n> output = load_group<n>(y, i, columns, aligned);
    Group<float, n> gradient = load_group<n>(dy, i, columns, aligned);
#pragma unroll
    for (int k = 0; k < n; ++k) gradient.v[k] = softmax_gradient<kind>(output.v[k], gradient.v[k], sum);
    store_group(dx, i, columns, aligned, gradient);
  });
}

template <class Team>
LaunchShape team_launch(std::int64_t rows) {
  return {grid_blocks(rows, Team::kBlock / Team::kSize), Team::kBlock};
}

template <SoftmaxKind kind, class Launcher>
void launch_softmax_forward_of(Launcher& launcher, std::int64_t rows, std::int64_t columns, const float* x,
                               float* y) {
  const bool aligned = columns % 4 == 0 && aligned_for<4>(x, y);
  if (columns <= WarpTeam::kLongestRow) {
    launcher.launch(QMSE_KERNEL(softmax_forward_kernel<kind, WarpTeam>), team_launch<WarpTeam>(rows), rows,
                    columns, x, y, aligned);
  } else {
    launcher.launch(QMSE_KERNEL(softmax_forward_kernel<kind, BlockTeam>), team_launch<BlockTeam>(rows), rows,
                    columns, x, y, aligned);
  }
}

template <class Launcher>
void launch_softmax_forward(Launcher& launcher, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                            const float* x, float* y) {
  if (rows == 0 || columns == 0) return;
  if (kind == SoftmaxKind::softmax) {
    launch_softmax_forward_of<SoftmaxKind::softmax>(launcher, rows, columns, x, y);
  } else {
    launch_softmax_forward_of<SoftmaxKind::log_softmax>(launcher, rows, columns, x, y);
  }
}

template <SoftmaxKind kind, class Launcher>
void launch_softmax_backward_of(Launcher& launcher, std::int64_t rows, std::int64_t columns, const float* y,
                                const float* dy, float* dx) {
  const bool aligned = columns % 4 == 0 && aligned_for<4>(y, dy, dx);
  if (columns <= WarpTeam::kLongestRow) {
    launcher.launch(QMSE_KERNEL(softmax_backward_kernel<kind, WarpTeam>), team_launch<WarpTeam>(rows), rows,
                    columns, y, dy, dx, aligned);
  } else {
    launcher.launch(QMSE_KERNEL(softmax_backward_kernel<kind, BlockTeam>), team_launch<BlockTeam>(rows), rows,
                    columns, y, dy, dx, aligned);
  }
}

template <class Launcher>
void launch_softmax_backward(Launcher& launcher, SoftmaxKind kind, std::int64_t rows, std::int64_t columns,
                             const float* y, const float* dy, float* dx) {
  if (rows == 0 || columns == 0) return;
  if (kind == SoftmaxKind::softmax) {
    launch_softmax_backward_of<SoftmaxKind::softmax>(launcher, rows, columns, y, dy, dx);
  } else {
    launch_softmax_backward_of<SoftmaxKind::log_softmax>(launcher, rows, columns, y, dy, dx);
  }
}

}  // namespace qmse
