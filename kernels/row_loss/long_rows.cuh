// Rows of more than kMaxBlockRow outputs on the GPU, a block for each slab of kSlab outputs. A slab's gradient
// needs the sums of all slabs of its row. There are two ways to it, with the same sums in the same order:
//
//   held        A block keeps its slab in registers, with the v that it drew, until all blocks of the row have
//               told their sums. Nothing is read or drawn twice. A block does not wait for long: one whose row
//               is not complete after kPolls looks leaves its slab to a second launch, which goes through the
//               slabs that were left. So no block needs another one to be running, and whatever else the GPU
//               does, or if it runs one block after another, the results are the same.
//   read twice  One pass writes the sums, another reads the outputs and draws v again. Each launch writes a few
//               rows and reduces the next few, so that memory reads and writes overlap and the second read
//               finds the outputs in the L2 cache.
//
// Rows are held where the GPU has room for the blocks of two at once, so that one's blocks work while another's
// wait, and where the batch is large enough for the launches beside the one that does the work.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "device/launch.h"
#include "kernels/gpu/cuda_names.h"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_device.cuh"
#include "kernels/row_loss/row_loss_math.h"

namespace qmse::device {

constexpr int kSlabThreads = 512;
constexpr int kSlabWarps = kSlabThreads / 32;
constexpr int kSlabTile = kSlabWarps * kTileFloats<kPartGroups>;
static_assert(kSlabWarps * kPart == kSlab);
// Blocks that a multiprocessor has registers for; more would make ptxas spill on some architectures.
template <bool kDense>
constexpr int kSlabBlocks = kDense ? 1 : 2;

// Read twice: rows of about this many outputs together (16 MB) are reduced by one launch and written by the
// next. Twice as much is in use at a time and has to fit the L2 cache (H100: 50 MB) beside what is being
// written.
constexpr std::int64_t kOutputsAtOnce = std::int64_t{1} << 22;

// Held: a batch of fewer outputs is read twice, since two launches come to the one that works. A block looks
// at its row's count so often (expected: half a microsecond a look, five to ten a row; not measured), and so
// many blocks go through the slabs that were left.
constexpr std::int64_t kOutputsToHold = std::int64_t{1} << 22;
constexpr int kPolls = 64;
constexpr unsigned kLeftBlocks = 264;

// The workspace, of row_loss_workspace_bytes().
template <class Totals>
struct LongRows {
  Totals* partials;         // [B][slabs]
  std::uint32_t* left;      // [B * slabs], slabs that were left, by their index in `partials`
  std::uint32_t* complete;  // [B], slabs of a row whose sums are there
  std::uint32_t* left_count;

  LongRows(void* workspace, std::int64_t batch, std::int64_t slabs) {
    const std::int64_t all = batch * slabs;
    partials = static_cast<Totals*>(workspace);
    left = reinterpret_cast<std::uint32_t*>(static_cast<char*>(workspace) +
                                            all * static_cast<std::int64_t>(kPartialBytes));
    complete = left + all;
    left_count = complete + batch;
  }
};

// What another block wrote in the same launch: past the first-level cache, which does not see others' writes.
template <class T>
__device__ T read_of_others(const T* value) {
  Words<T> words;
  const volatile std::uint32_t* from = reinterpret_cast<const volatile std::uint32_t*>(value);
#pragma unroll
  for (unsigned i = 0; i < sizeof(T) / 4; ++i) words.word[i] = from[i];
  T copy;
  memcpy(static_cast<void*>(&copy), &words, sizeof(copy));
  return copy;
}

// A block's slab of a row.
template <class Loss, bool kDense, bool kVectors>
struct Slab {
  using Tile = SharedArray<float, kSlabTile>;
  using Totals = RowTotals<Loss, kDense>;
  using Scratch = SharedArray<InShared<Totals>, kSlabWarps>;
  using Part = RowInRegisters<Loss, kDense, kPartGroups, kVectors>;

  WarpMemory<Tile, kPartGroups, kVectors, true> memory;
  LanePlace<kVectors> place;
  Part part;

  __device__ Slab(const DeviceRows& rows, Tile* tile, std::int64_t row, int slab)
      : memory(tile, static_cast<int>(threadIdx.x / 32), static_cast<int>(threadIdx.x % 32)),
        place(place_in_row<kVectors>(
            rows.classes, row, slab * static_cast<int>(kSlab) + static_cast<int>(threadIdx.x / 32) * kPart,
            static_cast<int>(threadIdx.x % 32))) {}

  // The sums of the slab.
  template <typename Part::Pass kPass>
  __device__ Totals reduce(const DeviceRows& rows, const Loss& loss, Scratch& scratch) {
    part.template fetch<kPass>(rows, loss, place, memory);
    part.draw(loss, place);
    part.template compare<kPass>(rows, loss, place, memory);
    return block_reduce(Totals{part.sum(loss, place), part.ranking}, Merge(), scratch);
  }

  // Of the row, from the sums of its slabs; the first slab's block writes the row's values.
  __device__ typename Loss::Result finish(const DeviceRows& rows, const Loss& loss, const RowTarget& target,
                                          const Totals* partials, int slabs, bool first,
                                          Scratch& scratch) const {
    Totals total;
#pragma unroll 1
    for (int other = threadIdx.x; other < slabs; other += kSlabThreads) {
      total.merge(read_of_others(partials + other));
    }
    total = block_reduce(total, Merge(), scratch);
    const typename Loss::Result result = loss.finish(total.sums, target, rows.gradient_scale);
    if (first) store_row<Loss>(rows, place, result, total.ranking);
    return result;
  }

  // Reads and draws again, and writes.
  __device__ void write(const DeviceRows& rows, const Loss& loss, const Totals* partials, int slabs,
                        bool first, bool writes_elements, Scratch& scratch) {
    if (writes_elements) {
      part.template fetch<Part::Pass::gradient>(rows, loss, place, memory);
      part.draw(loss, place);
    }
    const typename Loss::Result result =
        finish(rows, loss, row_target<kDense>(rows, place.row), partials, slabs, first, scratch);
    if (!writes_elements) return;
    part.template compare<Part::Pass::gradient>(rows, loss, place, memory);
    part.store_groups(rows, loss, place, memory, result);
  }
};

// Which rows a launch reduces and which it writes; blockIdx.x counts items of both kinds in turn.
struct SlabWork {
  int slabs;  // of a row
  std::int64_t reduce_row;
  int reduce_items;  // `slabs` a row
  std::int64_t write_row;
  int write_items;  // write_slabs a row: `slabs`, or 1 where only the row's values are wanted
  int write_slabs;
  bool writes_elements;
};

template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kSlabThreads, kSlabBlocks<kDense>)
    row_loss_slab_kernel(DeviceRows rows, Loss loss, RowTotals<Loss, kDense>* partials, SlabWork work) {
  using ASlab = Slab<Loss, kDense, kVectors>;
  __shared__ SharedArray<float, kSlabTile> tile;
  __shared__ SharedArray<InShared<RowTotals<Loss, kDense>>, kSlabWarps> totals;
  const int block = static_cast<int>(blockIdx.x);
  const int paired = 2 * min(work.reduce_items, work.write_items);
  const bool reduces = block < paired ? block % 2 == 0 : work.reduce_items > work.write_items;
  const int item = block < paired ? block / 2 : block - paired / 2;
  const int slabs = reduces ? work.slabs : work.write_slabs;
  const int number = item % slabs;
  const std::int64_t row = (reduces ? work.reduce_row : work.write_row) + item / slabs;
  RowTotals<Loss, kDense>* row_partials = partials + row * work.slabs;
  ASlab slab(rows, &tile, row, number);
  if (reduces) {
    const auto total = slab.template reduce<ASlab::Part::Pass::sums>(rows, loss, totals);
    if (threadIdx.x == 0) row_partials[number] = total;
  } else {
    slab.write(rows, loss, row_partials, work.slabs, number == 0, work.writes_elements, totals);
  }
}

template <class Totals>
__global__ void clear_counts_kernel(LongRows<Totals> workspace, std::int64_t batch) {
  const std::int64_t i = grid_thread();
  if (i < batch) workspace.complete[i] = 0;
  if (i == batch) *workspace.left_count = 0;
}

// blockIdx.x is the slab.
template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kSlabThreads, kSlabBlocks<kDense>)
    row_loss_held_kernel(DeviceRows rows, Loss loss, LongRows<RowTotals<Loss, kDense>> workspace, int slabs) {
  using ASlab = Slab<Loss, kDense, kVectors>;
  __shared__ SharedArray<float, kSlabTile> tile;
  __shared__ SharedArray<InShared<RowTotals<Loss, kDense>>, kSlabWarps> totals;
  __shared__ SharedArray<bool, 1> is_complete;
  const std::int64_t row = blockIdx.x / static_cast<unsigned>(slabs);
  const int number = static_cast<int>(blockIdx.x % static_cast<unsigned>(slabs));
  RowTotals<Loss, kDense>* row_partials = workspace.partials + row * slabs;
  ASlab slab(rows, &tile, row, number);
  const auto total = slab.template reduce<ASlab::Part::Pass::only>(rows, loss, totals);
  if (threadIdx.x == 0) {
    row_partials[number] = total;
    __threadfence();  // the sums come before the count, ...
    std::uint32_t* complete = workspace.complete + row;
    const unsigned all = static_cast<unsigned>(slabs);
    unsigned there = atomicAdd(complete, 1u) + 1;
#pragma unroll 1
    for (int poll = 0; poll < kPolls && there < all; ++poll) there = atomicAdd(complete, 0u);
    __threadfence();  // ... and others' are read after it
    is_complete[0] = there == all;
    if (there != all) workspace.left[atomicAdd(workspace.left_count, 1u)] = blockIdx.x;
  }
  __syncthreads();
  if (!is_complete[0]) return;
  const typename Loss::Result result =
      slab.finish(rows, loss, slab.part.target, row_partials, slabs, number == 0, totals);
  slab.part.store_groups(rows, loss, slab.place, slab.memory, result);
}

// The slabs that were left.
template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kSlabThreads, 1)
    row_loss_left_kernel(DeviceRows rows, Loss loss, LongRows<RowTotals<Loss, kDense>> workspace, int slabs) {
  using ASlab = Slab<Loss, kDense, kVectors>;
  __shared__ SharedArray<float, kSlabTile> tile;
  __shared__ SharedArray<InShared<RowTotals<Loss, kDense>>, kSlabWarps> totals;
  const std::uint32_t count = *workspace.left_count;
#pragma unroll 1
  for (std::uint32_t i = blockIdx.x; i < count; i += gridDim.x) {
    const std::uint32_t item = workspace.left[i];
    const std::int64_t row = item / static_cast<unsigned>(slabs);
    const int number = static_cast<int>(item % static_cast<unsigned>(slabs));
    ASlab slab(rows, &tile, row, number);
    slab.write(rows, loss, workspace.partials + row * slabs, slabs, number == 0, true, totals);
  }
}

template <class Loss, bool kDense, bool kVectors, class Gpu>
void held_rows(Gpu& gpu, const RowLossArgs<float>& args, const DeviceRows& rows, const Loss& loss) {
  const int slabs = static_cast<int>(row_slabs(args.classes));
  using Totals = RowTotals<Loss, kDense>;
  const LongRows<Totals> workspace(args.workspace, args.batch, slabs);
  gpu.launch(QMSE_KERNEL(clear_counts_kernel<Totals>),
             LaunchShape{grid_blocks(args.batch + 1, kElementThreads), kElementThreads}, workspace,
             args.batch);
  gpu.launch(QMSE_KERNEL(row_loss_held_kernel<Loss, kDense, kVectors>),
             LaunchShape{grid_blocks(args.batch * slabs, 1), kSlabThreads}, rows, loss, workspace, slabs);
  gpu.launch(QMSE_KERNEL(row_loss_left_kernel<Loss, kDense, kVectors>),
             LaunchShape{kLeftBlocks, kSlabThreads}, rows, loss, workspace, slabs);
}

template <class Loss, bool kDense, bool kVectors, class Gpu>
void rows_read_twice(Gpu& gpu, const RowLossArgs<float>& args, const DeviceRows& rows, const Loss& loss) {
  const int slabs = static_cast<int>(row_slabs(args.classes));
  const bool writes = writes_elements(rows);
  const int write_slabs = writes ? slabs : 1;
  const std::int64_t at_once = std::max<std::int64_t>(1, kOutputsAtOnce / args.classes);
  const LongRows<RowTotals<Loss, kDense>> workspace(args.workspace, args.batch, slabs);
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
    gpu.launch(QMSE_KERNEL(row_loss_slab_kernel<Loss, kDense, kVectors>),
               LaunchShape{grid_blocks(work.reduce_items + work.write_items, 1), kSlabThreads}, rows, loss,
               workspace.partials, work);
  }
}

// blocks_at_once: of those that hold a slab, how many run at the same time.
inline bool rows_are_held(const RowLossArgs<float>& args, std::int64_t blocks_at_once) {
  if (args.long_rows != LongRowsBy::shape) return args.long_rows == LongRowsBy::holding;
  return 2 * row_slabs(args.classes) <= blocks_at_once && args.batch * args.classes >= kOutputsToHold;
}

template <class Loss, bool kDense, bool kVectors, class Gpu>
void long_rows(Gpu& gpu, const RowLossArgs<float>& args, const DeviceRows& rows, const Loss& loss) {
  static_assert(sizeof(RowTotals<Loss, kDense>) <= kPartialBytes);
  if (args.workspace == nullptr) {
    throw ShapeError("a loss over rows of more than " + std::to_string(kMaxBlockRow) +
                     " outputs needs a workspace of row_loss_workspace_bytes()");
  }
  // Where only the rows' values are wanted there is nothing to hold.
  const std::int64_t blocks_at_once = std::int64_t{kSlabBlocks<kDense>} * gpu.multiprocessors();
  if (writes_elements(rows) && rows_are_held(args, blocks_at_once)) {
    held_rows<Loss, kDense, kVectors>(gpu, args, rows, loss);
  } else {
    rows_read_twice<Loss, kDense, kVectors>(gpu, args, rows, loss);
  }
}

}  // namespace qmse::device
