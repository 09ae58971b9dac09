// The losses' kernels on the GPU, for every loss: rows that fit a warp, rows that fit a block, and longer
// rows in two passes. A row is cut into groups of four consecutive outputs, one to a lane (the random
// direction comes in blocks of four, too), and into strips of 32 groups, one to a warp.
//
//   c <= 128        1, 2, 4, 8, 16 or 32 lanes a row, one group a lane; a warp has 32 / lanes rows
//   c <= 512        a warp a row, up to four groups a lane
//   c <= 8192       a block a row, up to four groups a lane; one barrier
//   longer rows     slabs of 8192 outputs, a block each: one pass writes each slab's sums to the workspace,
//                   another adds the sums of the row's slabs and writes the gradient. The second pass reads
//                   the outputs and draws v again. No barrier across blocks; instead each launch writes a few
//                   rows and reduces the next few, so that memory reads and writes overlap and the second
//                   read of the outputs finds them in the L2 cache.
//
// Up to 8192 outputs stay in registers between the sums and the gradient: 4 bytes read and 4 written for each
// (dense targets: 4 more read). Sums are taken in an order that depends on c alone.
//
// A loss is a plain struct with its settings and these members (residual_loss.cuh has the smallest):
//   Sums              what is summed over a row; default-constructed for nothing; merge(other) commutes to
//   the
//                     last bit, so that all lanes get the same; at most 48 bytes together with Ranking
//   Row, begin_row()  what the draws of a row depend on
//   Draws, prepare()  what a warp draws at once for all its strips
//   Kept, keep()      what is kept of a group in registers, from f - y, outputs, targets and draws
//   add()             a kept group to the sums
//   kRedraws          whether draws can be refused: then, for rows shorter than 128, refused(sums),
//   redraw(kept, row, group) Result, finish()  loss, residual_sq, and what the gradient needs of the sums
//   gradient()        of one output of a kept group, times the scale that finish() got
//   residual()        y - f of a kept group
//   kDirection        whether there is a v: then direction() of one output of a kept group
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/core/device.h"
#include "kernels/core/error.h"
#include "kernels/core/launch.h"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_device.cuh"
#include "kernels/row_loss/row_loss_math.h"

namespace qmse {

constexpr int kWarpKernelThreads = 128;
constexpr int kBlockKernelThreads = 512;  // at most
constexpr int kSlabKernelThreads = 256;
constexpr int kBlockGroups = 4;  // groups a lane keeps
constexpr int kSlabParts = 2;    // times as many that it goes through in a slab
constexpr int kSlabGroups = kSlabParts * kBlockGroups;

// Rows of about this many outputs together (16 MB) are reduced by one launch and written by the next. Twice
// as much is in use at a time and has to fit the L2 cache (H100: 50 MB) beside what is being written.
constexpr std::int64_t kOutputsAtOnce = std::int64_t{1} << 22;

static_assert(kBlockKernelThreads * 4 * kBlockGroups == kLongestBlockRow);
static_assert(kSlabKernelThreads * 4 * kSlabGroups == kSlab);

// Rows of up to 128 kGroups outputs; 2^lanes_log2 lanes a row, 32 where kGroups > 1.
template <class Loss, bool kDense, int kGroups, bool kVectors>
__global__ void __launch_bounds__(kWarpKernelThreads)
    row_loss_warp_kernel(DeviceRows rows, Loss loss, int lanes_log2) {
  constexpr int kWarps = kWarpKernelThreads / 32;
  __shared__ SharedArray<float, kWarps * kTile> tiles;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  if constexpr (kGroups > 1) lanes_log2 = 5;
  const int lanes = 1 << lanes_log2;
  const std::int64_t first_row = (static_cast<std::int64_t>(blockIdx.x) * kWarps + warp) << (5 - lanes_log2);
  if (first_row >= rows.batch) return;
  const int sub_row = lane >> lanes_log2;
  const int row_count = static_cast<int>(min(rows.batch - first_row, std::int64_t{32 >> lanes_log2}));
  const bool active = sub_row < row_count;

  LanePlace<kVectors> place;
  place.row = active ? first_row + sub_row : first_row;
  place.span_first = first_row * rows.classes;
  place.span = row_count * rows.classes;
  place.element = 4 * (lane & (lanes - 1));
  place.offset = sub_row * rows.classes + place.element;
  place.left = active ? rows.classes - place.element : 0;
  place.writes_row = active && place.element == 0;

  const WarpMemory<kWarps * kTile, kVectors, false> memory(&tiles, warp, lane);
  RowInRegisters<Loss, kDense, kGroups, kVectors> part;
  part.load(rows, loss, place, memory);
  typename Loss::Sums sums = warp_merge(part.sum(loss, place), lanes);
  if constexpr (Loss::kRedraws && kGroups == 1) {  // only draws of rows shorter than 128 are ever refused
    // Rows of one warp can differ, and every lane takes part in the merges.
    for (bool again = active && loss.refused(sums); __any_sync(kFullWarp, again);
         again = active && loss.refused(sums)) {
      if (again) part.redraw(loss, place);
      sums = warp_merge(part.sum(loss, place), lanes);
    }
  }
  const Ranking<kDense> ranking = warp_merge(part.ranking, lanes);
  const typename Loss::Result result = loss.finish(sums, part.target, rows.gradient_scale);
  store_row<Loss>(rows, place, result, ranking);
  part.store_groups(rows, loss, place, memory, result);
}

// Rows of up to 16 blockDim.x outputs, blockIdx.x being the row.
template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kBlockKernelThreads, 1) row_loss_block_kernel(DeviceRows rows, Loss loss) {
  constexpr int kWarps = kBlockKernelThreads / 32;
  __shared__ SharedArray<float, kWarps * kTile> tiles;
  __shared__ SharedArray<std::uint32_t, kWarps * kTotalWords<Loss, kDense>> totals;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const LanePlace<kVectors> place = place_in_row<kVectors>(
      rows.classes, blockIdx.x, warp * kBlockGroups * kStrip, kBlockGroups * kStrip, lane);

  const WarpMemory<kWarps * kTile, kVectors, false> memory(&tiles, warp, lane);
  RowInRegisters<Loss, kDense, kBlockGroups, kVectors> part;
  part.load(rows, loss, place, memory);
  RowTotals<Loss, kDense> total{part.sum(loss, place), part.ranking};
  block_merge(total, totals);
  const typename Loss::Result result = loss.finish(total.sums, part.target, rows.gradient_scale);
  store_row<Loss>(rows, place, result, total.ranking);
  part.store_groups(rows, loss, place, memory, result);
}

// Which rows a launch of the slab kernel reduces and which it writes; blockIdx.x counts items of both kinds
// in turn.
struct SlabWork {
  int slabs;  // of a row
  std::int64_t reduce_row;
  int reduce_items;  // `slabs` a row
  std::int64_t write_row;
  int write_items;  // write_slabs a row: `slabs`, or 1 where only the row's values are wanted
  int write_slabs;
  bool writes_elements;
};

// Rows of any length. `partials` holds `slabs` RowTotals a row.
template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kSlabKernelThreads, 2)
    row_loss_slab_kernel(DeviceRows rows, Loss loss, RowTotals<Loss, kDense>* partials, SlabWork work) {
  constexpr int kWarps = kSlabKernelThreads / 32;
  __shared__ SharedArray<float, kWarps * kTile> tiles;
  __shared__ SharedArray<std::uint32_t, kWarps * kTotalWords<Loss, kDense>> totals;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int block = static_cast<int>(blockIdx.x);
  const int paired = 2 * min(work.reduce_items, work.write_items);
  const bool reduces = block < paired ? block % 2 == 0 : work.reduce_items > work.write_items;
  const int item = block < paired ? block / 2 : block - paired / 2;
  const int slabs = reduces ? work.slabs : work.write_slabs;
  const int slab = item % slabs;
  const std::int64_t row = (reduces ? work.reduce_row : work.write_row) + item / slabs;

  const int first = slab * static_cast<int>(kSlab) + warp * kSlabGroups * kStrip;
  const auto place_of = [&](int part) {
    return place_in_row<kVectors>(rows.classes, row, first + part * kBlockGroups * kStrip,
                                  kBlockGroups * kStrip, lane);
  };
  RowTotals<Loss, kDense>* row_partials = partials + row * work.slabs;
  const WarpMemory<kWarps * kTile, kVectors, true> memory(&tiles, warp, lane);
  RowTotals<Loss, kDense> total;
  if (reduces) {
#pragma unroll 1
    for (int i = 0; i < kSlabParts; ++i) {
      const LanePlace<kVectors> place = place_of(i);
      RowInRegisters<Loss, kDense, kBlockGroups, kVectors> part;
      part.load(rows, loss, place, memory, false);
      total.merge(RowTotals<Loss, kDense>{part.sum(loss, place), part.ranking});
    }
    block_merge(total, totals);
    if (threadIdx.x == 0) row_partials[slab] = total;
    return;
  }
#pragma unroll 1
  for (int other = threadIdx.x; other < work.slabs; other += kSlabKernelThreads) {
    total.merge(row_partials[other]);
  }
  block_merge(total, totals);
  const typename Loss::Result result =
      loss.finish(total.sums, row_target<kDense>(rows, row), rows.gradient_scale);
  if (slab == 0) store_row<Loss>(rows, place_of(0), result, total.ranking);
  if (!work.writes_elements) return;
#pragma unroll 1
  for (int i = 0; i < kSlabParts; ++i) {
    const LanePlace<kVectors> place = place_of(i);
    RowInRegisters<Loss, kDense, kBlockGroups, kVectors> part;
    part.load(rows, loss, place, memory);
    part.store_groups(rows, loss, place, memory, result);
  }
}

template <class Loss, bool kDense, bool kVectors, class Launcher>
void launch_long_rows(Launcher& launcher, const RowLossArgs<float>& args, const DeviceRows& rows,
                      const Loss& loss) {
  using Totals = RowTotals<Loss, kDense>;
  static_assert(sizeof(Totals) <= kPartialBytes);
  if (args.workspace == nullptr) {
    throw ShapeError("a loss over rows of more than " + std::to_string(kLongestBlockRow) +
                     " outputs needs a workspace of row_loss_workspace_bytes()");
  }
  const int slabs = static_cast<int>(row_slabs(args.classes));
  const bool writes = rows.gradient != nullptr || rows.residual != nullptr || rows.v != nullptr;
  const int write_slabs = writes ? slabs : 1;
  const std::int64_t at_once = std::max<std::int64_t>(1, kOutputsAtOnce / args.classes);
  const auto partials = static_cast<Totals*>(args.workspace);
  for (std::int64_t row = 0; row < args.batch + at_once; row += at_once) {
    const std::int64_t reduce_rows = std::max<std::int64_t>(0, std::min(at_once, args.batch - row));
    const std::int64_t write_rows = std::min(std::min(at_once, row), args.batch - row + at_once);
    SlabWork work;
    work.slabs = slabs;
    work.reduce_row = row;
    work.reduce_items = static_cast<int>(reduce_rows) * slabs;
    work.write_row = row - at_once;
    work.write_items = static_cast<int>(write_rows) * write_slabs;
    work.write_slabs = write_slabs;
    work.writes_elements = writes;
    launcher.launch(QMSE_KERNEL(row_loss_slab_kernel<Loss, kDense, kVectors>),
                    LaunchShape{grid_blocks(work.reduce_items + work.write_items, 1), kSlabKernelThreads},
                    rows, loss, partials, work);
  }
}

template <class Loss, bool kDense, bool kVectors, class Launcher>
void launch_rows(Launcher& launcher, const RowLossArgs<float>& args, const DeviceRows& rows,
                 const Loss& loss) {
  if (args.classes <= kStrip) {
    int lanes_log2 = 0;
    while (4 << lanes_log2 < args.classes) ++lanes_log2;
    launcher.launch(
        QMSE_KERNEL(row_loss_warp_kernel<Loss, kDense, 1, kVectors>),
        LaunchShape{grid_blocks(args.batch, kWarpKernelThreads >> lanes_log2), kWarpKernelThreads}, rows,
        loss, lanes_log2);
  } else if (args.classes <= kBlockGroups * kStrip) {
    launcher.launch(QMSE_KERNEL(row_loss_warp_kernel<Loss, kDense, kBlockGroups, kVectors>),
                    LaunchShape{grid_blocks(args.batch, kWarpKernelThreads / 32), kWarpKernelThreads}, rows,
                    loss, 5);
  } else if (args.classes <= kLongestBlockRow) {
    const unsigned warps = grid_blocks(args.classes, kBlockGroups * kStrip);
    launcher.launch(QMSE_KERNEL(row_loss_block_kernel<Loss, kDense, kVectors>),
                    LaunchShape{grid_blocks(args.batch, 1), 32 * warps}, rows, loss);
  } else {
    launch_long_rows<Loss, kDense, kVectors>(launcher, args, rows, loss);
  }
}

// Launches what `args` asks for; `loss` is as described above.
template <bool kDense, class Loss, class Launcher>
void launch_row_loss(Launcher& launcher, const RowLossArgs<float>& args, float* v, const Loss& loss) {
  const DeviceRows rows = device_rows(args, v);
  if (rows_are_vectors(rows)) {
    launch_rows<Loss, kDense, true>(launcher, args, rows, loss);
  } else {
    launch_rows<Loss, kDense, false>(launcher, args, rows, loss);
  }
}

}  // namespace qmse
