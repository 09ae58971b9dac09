// The losses' kernels on the GPU, for every loss: rows that fit a warp, rows that fit a block, and longer
// rows. A row is cut into groups of four consecutive outputs (the random direction comes in blocks of four,
// too), and a lane keeps one to eight groups in registers between the sums and the gradient.
//
//   c <= 512        1, 2, 4, 8, 16 or 32 lanes a row; several rows a warp, four warps a block
//   c <= 8192       a block a row; one barrier
//   longer rows     slabs of 8192 outputs, a block each: long_rows.cuh
//
// A warp's life: it asks for its outputs, draws v while they come, makes differences and sums of them, merges
// the sums, writes the gradient. What is drawn depends on no lane's share of the row, so that a warp has no
// branch there; sums and stores leave out what is not the row's.
//
// Bytes an output, with labels: 4 read and 4 written; dense targets: 4 more read. Instructions an output of
// a sphere's rows with labels, counted in the code for sm_90 along the path of most warps: rows of 1,000 62,
// of 1,001 (not aligned) 77, of 100 70; long rows 69 where they are held and 117 where they are read twice.
// An H100 issues 132 * 128 * 1.7e9 = 2.9e13 a second; at 85 % of 3 TB/s that is 90 for 8 bytes, at 60 % 128.
// Sums are taken in an order that depends on B and c alone.
//
// A loss is a plain struct with its settings and these members; check_row_loss() below says what is missing,
// and tests/simt/row_loss_contract_test.cpp is the smallest one.
//
//   Sums                what is summed over a row; Sums() is that of nothing, merge(other) commutes to the
//                       last bit so that all lanes get the same; at most 48 bytes together with Ranking
//   Row, begin_row()    what the draws of a row depend on
//   Kept, keep()        what is kept of a group in registers, made of f - y, outputs and targets
//   add()               a kept group to the sums: what the row does not have (RowGroup::has) has f - y = 0
//   Result, finish()    of the sums: loss and residual_sq, and what the gradient needs of them
//   gradient()          of one output of a kept group, times the scale that finish() got
//   residual()          y - f of a kept group
//   kDirection          whether there is a v: then Kept has it as v, prepare() is what a warp draws at once,
//                       draw() gives it to one kept group, which may lie beyond the row (then it is finite, and
//                       what is added of it 0), direction() is v of a group, Row::attempt counts the draws
//   kRedraws            whether a draw can be refused(sums), which then happens in rows of a warp alone
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "device/launch.h"
#include "kernels/gpu/cuda_names.h"
#include "kernels/row_loss/long_rows.cuh"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_device.cuh"
#include "kernels/row_loss/row_loss_math.h"
#include "random/direction.h"

namespace qmse::device {

// The contract above; fails to compile where a loss does not keep it, saying what it lacks.
template <class Loss>
constexpr bool check_row_loss() {
  using Sums = typename Loss::Sums;
  using Row = typename Loss::Row;
  using Kept = typename Loss::Kept;
  using Result = typename Loss::Result;
  using Four = Group<float, 4>;
  static_assert(std::is_trivially_copyable_v<Loss>, "a loss is a kernel's parameter");
  static_assert(std::is_trivially_copyable_v<Sums> && sizeof(Sums) % 4 == 0,
                "Sums go from lane to lane as words");
  static_assert(std::is_default_constructible_v<Sums>, "Sums() is that of nothing");
  static_assert(std::is_same_v<decltype(std::declval<Sums&>().merge(std::declval<const Sums&>())), void>,
                "Sums::merge(const Sums&)");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().begin_row(std::int64_t{})), Row>,
                "Row begin_row(int64 row) const");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().keep(
                                   std::declval<Kept&>(), std::declval<const Four&>(),
                                   std::declval<const Four&>(), std::declval<const Four&>())),
                               void>,
                "void keep(kept&, difference, outputs, targets) const");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().add(std::declval<Sums&>(),
                                                                        std::declval<const Kept&>(),
                                                                        std::declval<const RowGroup&>())),
                               void>,
                "void add(Sums&, kept, group) const");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().finish(
                                   std::declval<const Sums&>(), std::declval<const RowTarget&>(), 1.0f)),
                               Result>,
                "Result finish(sums, target, gradient_scale) const");
  static_assert(std::is_convertible_v<decltype(std::declval<Result&>().loss), float> &&
                    std::is_convertible_v<decltype(std::declval<Result&>().residual_sq), float>,
                "Result has loss and residual_sq");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().gradient(
                                   std::declval<const Result&>(), std::declval<const Kept&>(),
                                   std::declval<const RowGroup&>(), 0)),
                               float>,
                "float gradient(result, kept, group, k) const");
  static_assert(std::is_same_v<decltype(std::declval<const Loss&>().residual(
                                   std::declval<const Kept&>(), std::declval<const RowGroup&>())),
                               Four>,
                "residual(kept, group) const");
  static_assert(Loss::kDirection || !Loss::kRedraws, "only what is drawn can be drawn again");
  if constexpr (Loss::kDirection) {
    static_assert(std::is_same_v<decltype(std::declval<const Loss&>().direction(std::declval<const Result&>(),
                                                                                std::declval<const Kept&>())),
                                 Four>,
                  "direction(result, kept) const");
    static_assert(std::is_integral_v<decltype(std::declval<Row&>().attempt)>, "Row has attempt");
    using Draws = decltype(std::declval<const Loss&>().template prepare<1>(std::declval<const Row&>(), 0, 0));
    static_assert(std::is_same_v<decltype(std::declval<const Loss&>().draw(
                                     std::declval<Kept&>(), std::declval<const Row&>(),
                                     std::declval<const Draws&>(), 0, 0)),
                                 void>,
                  "void draw(kept&, row, prepare<groups>(row, element, stride), j, element) const");
    static_assert(std::is_same_v<decltype(std::declval<Kept&>().v), Four>, "Kept has v");
  }
  if constexpr (Loss::kRedraws) {
    static_assert(
        std::is_same_v<decltype(std::declval<const Loss&>().refused(std::declval<const Sums&>())), bool>,
        "bool refused(sums) const");
  }
  return true;
}

constexpr int kWarpKernelThreads = 128;
constexpr int kBlockKernelThreads = 512;  // at most

// Groups of four outputs that a lane keeps, at most.
constexpr int kShortRowGroups = 4;  // of rows whose draw may be refused
constexpr int kWarpRowGroups = 8;   // of other rows in a warp

static_assert(kBlockKernelThreads / 32 * kPart == kMaxBlockRow);

// Batches of short rows with up to this many groups spread them over as many lanes, for latency: that is a
// warp for each scheduler of a large GPU. Larger ones give a lane eight groups, which spreads the work that a
// lane does for the row as a whole over more outputs and leaves fewer lanes without a group (100 outputs are
// 25 groups: of 28 places of four lanes, or of 32 where lanes keep four).
constexpr std::int64_t kGroupsForLatency = std::int64_t{1} << 14;

// Rows of up to 4 kGroups 2^lanes_log2 outputs, 2^lanes_log2 lanes a row.
template <class Loss, bool kDense, int kGroups, bool kVectors>
__global__ void __launch_bounds__(kWarpKernelThreads, kGroups < 8           ? 1
                                                      : kDense && !kVectors ? 3
                                                                            : 4)
    row_loss_warp_kernel(DeviceRows rows, Loss loss, int lanes_log2) {
  constexpr int kWarps = kWarpKernelThreads / 32;
  __shared__ SharedArray<float, kWarps * kTileFloats<kGroups>> tile;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
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
  place.row_span = rows.classes;
  place.alone = false;
  place.element = 4 * (lane & (lanes - 1));
  place.offset = sub_row * rows.classes + place.element;
  place.stride = 4 << lanes_log2;
  place.left = active ? rows.classes - place.element : 0;
  place.writes_row = active && place.element == 0;

  const WarpMemory<SharedArray<float, kWarps * kTileFloats<kGroups>>, kGroups, kVectors, false> memory(
      &tile, warp, lane);
  using Part = RowInRegisters<Loss, kDense, kGroups, kVectors>;
  Part part;
  part.template fetch<Part::Pass::only>(rows, loss, place, memory);
  part.draw(loss, place);
  part.template compare<Part::Pass::only>(rows, loss, place, memory);
  typename Loss::Sums sums = warp_reduce(part.sum(loss, place), Merge(), lanes);
  if constexpr (Loss::kRedraws && kGroups < kWarpRowGroups) {
    // Rows whose draw is refused draw again, the others wait: every lane takes part in the merges.
    bool draws = active && loss.refused(sums);
    while (__any_sync(kFullWarp, draws)) {
      if (draws) part.draw(loss, place);
      sums = warp_reduce(part.sum(loss, place), Merge(), lanes);
      draws = active && loss.refused(sums);
    }
  }
  const Ranking<kDense> ranking = warp_reduce(part.ranking, Merge(), lanes);
  const typename Loss::Result result = loss.finish(sums, part.target, rows.gradient_scale);
  store_row<Loss>(rows, place, result, ranking);
  part.store_groups(rows, loss, place, memory, result);
}

// Dynamic shared memory as a tile.
struct DynamicTile {
  __device__ float& operator[](unsigned i) { return dynamic_shared<float>()[i]; }
};

// Rows of up to 16 blockDim.x outputs, blockIdx.x being the row. Dynamic shared memory: none with vectors,
// else kTileFloats<kPartGroups> a warp. (In the launch bounds: as many blocks as ptxas has registers for
// without spilling any.)
template <class Loss, bool kDense, bool kVectors>
__global__ void __launch_bounds__(kBlockKernelThreads, kDense && !kVectors ? 1 : 2)
    row_loss_block_kernel(DeviceRows rows, Loss loss) {
  __shared__ SharedArray<InShared<RowTotals<Loss, kDense>>, kBlockKernelThreads / 32> totals;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const LanePlace<kVectors> place = place_in_row<kVectors>(rows.classes, blockIdx.x, warp * kPart, lane);

  DynamicTile tile;
  const WarpMemory<DynamicTile, kPartGroups, kVectors, false> memory(&tile, warp, lane);
  using Part = RowInRegisters<Loss, kDense, kPartGroups, kVectors>;
  Part part;
  part.template fetch<Part::Pass::only>(rows, loss, place, memory);
  part.draw(loss, place);
  part.template compare<Part::Pass::only>(rows, loss, place, memory);
  RowTotals<Loss, kDense> total{part.sum(loss, place), part.ranking};
  total = block_reduce(total, Merge(), totals);
  const typename Loss::Result result = loss.finish(total.sums, part.target, rows.gradient_scale);
  store_row<Loss>(rows, place, result, total.ranking);
  part.store_groups(rows, loss, place, memory, result);
}

template <class Loss, bool kDense, bool kVectors, class Gpu>
void row_loss_of(Gpu& gpu, const RowLossArgs<float>& args, const DeviceRows& rows, const Loss& loss) {
  const std::int64_t groups = (args.classes + 3) / 4;
  if (args.classes <= kPart) {
    const bool for_latency = groups * args.batch <= kGroupsForLatency;
    const bool may_redraw = args.classes < kDirectionAlwaysAccepted;
    const std::int64_t kept = may_redraw ? kShortRowGroups : kWarpRowGroups;
    const std::int64_t lanes = for_latency ? std::min<std::int64_t>(groups, 32) : (groups + kept - 1) / kept;
    int lanes_log2 = 0;
    while (1 << lanes_log2 < lanes) ++lanes_log2;
    const LaunchShape shape{grid_blocks(args.batch, kWarpKernelThreads >> lanes_log2), kWarpKernelThreads};
    const auto launch = [&](auto kernel) { gpu.launch(kernel, shape, rows, loss, lanes_log2); };
    if (groups <= 1 << lanes_log2) {
      launch(QMSE_KERNEL(row_loss_warp_kernel<Loss, kDense, 1, kVectors>));
    } else if (may_redraw) {
      launch(QMSE_KERNEL(row_loss_warp_kernel<Loss, kDense, kShortRowGroups, kVectors>));
    } else {
      launch(QMSE_KERNEL(row_loss_warp_kernel<Loss, kDense, kWarpRowGroups, kVectors>));
    }
  } else if (args.classes <= kMaxBlockRow) {
    const unsigned warps = grid_blocks(args.classes, kPart);
    const std::size_t shared_bytes = kVectors ? 0 : warps * kTileFloats<kPartGroups> * sizeof(float);
    gpu.launch(QMSE_KERNEL(row_loss_block_kernel<Loss, kDense, kVectors>),
               LaunchShape{grid_blocks(args.batch, 1), 32 * warps, shared_bytes}, rows, loss);
  } else {
    long_rows<Loss, kDense, kVectors>(gpu, args, rows, loss);
  }
}

// Launches what `args` asks for; `loss` is as described above.
template <bool kDense, class Loss, class Gpu>
void row_loss(Gpu& gpu, const RowLossArgs<float>& args, float* v, const Loss& loss) {
  static_assert(check_row_loss<Loss>());
  const DeviceRows rows = device_rows(args, v);
  if (rows_are_vectors(rows)) {
    row_loss_of<Loss, kDense, true>(gpu, args, rows, loss);
  } else {
    row_loss_of<Loss, kDense, false>(gpu, args, rows, loss);
  }
}

}  // namespace qmse::device
