// The parts the losses' kernels are made of: how a warp reads and writes a row, how sums are merged, and what
// a lane keeps of a row in registers. See row_loss.cuh for the whole.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_math.h"

#if defined(QMSE_SIMT)
// Registers of groups that a lane does not take stay undefined, and nothing reads them.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace qmse::device {

constexpr int kStripLog2 = 7;
constexpr int kStrip = 1 << kStripLog2;  // outputs a warp takes at once where a row has all its lanes
constexpr int kPartGroups = 4;           // groups a lane keeps, at most, of a warp's part of a row
constexpr int kPart = kPartGroups * kStrip;

// Floats of shared memory in which a warp whose lanes keep so many groups turns outputs around, see WarpMemory.
template <int kGroups>
constexpr int kTileFloats = kGroups* kStrip * 5 / 4;

// Calls work(j) for the groups j that may be needed. Of eight groups the second half is left out where
// `needed(4)` says so: a branch for each group would cost more than it saves.
template <int kGroups, class Needed, class Work>
__device__ __forceinline__ void for_groups(const Needed& needed, const Work& work) {
  constexpr int kAlways = kGroups > 4 ? kGroups / 2 : kGroups;
#pragma unroll
  for (int j = 0; j < kAlways; ++j) work(j);
  if (kAlways < kGroups && needed(kAlways)) {
#pragma unroll
    for (int j = kAlways; j < kGroups; ++j) work(j);
  }
}

__device__ inline Group<float, 4> negative(const Group<float, 4>& quad) {
  return Group<float, 4>{{-quad.v[0], -quad.v[1], -quad.v[2], -quad.v[3]}};
}

// RowLossArgs as the kernels take it.
struct DeviceRows {
  std::int64_t batch;
  int classes;
  const float* output;
  const std::int32_t* labels;
  const float* targets;
  float loss_scale;
  float gradient_scale;
  float* gradient;
  float* residual;
  float* v;
  float* sample_loss;
  float* residual_sq;
  std::int32_t* correct;
};

inline DeviceRows device_rows(const RowLossArgs<float>& args, float* v) {
  DeviceRows rows;
  rows.batch = args.batch;
  rows.classes = static_cast<int>(args.classes);
  rows.output = args.output;
  rows.labels = args.labels;
  rows.targets = args.targets;
  rows.loss_scale = static_cast<float>(args.scale);
  rows.gradient_scale = static_cast<float>(gradient_scale(args));
  rows.gradient = args.gradient;
  rows.residual = args.residual;
  rows.v = v;
  rows.sample_loss = args.sample_loss;
  rows.residual_sq = args.residual_sq;
  rows.correct = args.correct;
  return rows;
}

inline bool writes_elements(const DeviceRows& rows) {
  return rows.gradient != nullptr || rows.residual != nullptr || rows.v != nullptr;
}

// Whether every row of every matrix starts at a multiple of 16 bytes, so that kernels may take vectors.
inline bool rows_are_vectors(const DeviceRows& rows) {
  const auto aligned = [](const float* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
  };
  return rows.classes % 4 == 0 && aligned(rows.output) && aligned(rows.targets) && aligned(rows.gradient) &&
         aligned(rows.residual) && aligned(rows.v);
}

// A lane's four outputs of a row.
struct RowGroup {
  int element;   // index in the row of the first
  int valid;     // how many of them the row has: 4 or more for all, 0 or less for none
  int label_at;  // the label's index less `element`; with dense targets -1

  __device__ bool has(int k) const { return k < valid; }
};

// The target of a row as far as one number tells it.
struct RowTarget {
  int label;  // -1 with dense targets
  float label_output;
};

template <bool kDense>
__device__ RowTarget row_target(const DeviceRows& rows, std::int64_t row) {
  if constexpr (kDense) {
    return RowTarget{-1, 0.0f};
  } else {
    const int label = rows.labels[row];
    return RowTarget{label, rows.output[row * rows.classes + label]};
  }
}

// Where a lane works. Its warp works on `span` consecutive outputs in memory, of one row or of several short
// ones; the lane takes groups `stride` outputs apart. kVectors: rows are multiples of four and aligned, so a
// group is whole or not there.
template <bool kVectors>
struct LanePlace {
  std::int64_t row;
  std::int64_t span_first;  // index of the span in the matrices
  int span;                 // may be negative: nothing to do
  int row_span;             // what of the span is this row's, or would be if the lane had a row
  bool alone;               // the span is of one row
  int offset;               // of the lane's first group in the span; 4 * lane where it is of one row
  int stride_log2;
  int stride;       // 2^stride_log2
  int element;      // index in its row of the first output of the lane's first group
  int left;         // outputs of the row from there on; not positive: none
  bool writes_row;  // this lane stores the row's values

  __device__ bool takes(int j) const { return j * stride < left; }
  // The same for all lanes of a warp: whether some lane takes a group j.
  __device__ bool spans(int j) const { return j * stride < row_span; }
  // Whether some output of the lane's kGroups groups is not the row's. With vectors such groups are not taken.
  template <int kGroups>
  __device__ bool cut() const {
    return !kVectors && (kGroups - 1) * stride + 4 > left;
  }
  // Bit 4 j + k: output k of the lane's group j is the row's. (Bits become predicates several at a time.)
  __device__ std::uint32_t valid_bits() const {
    const int groups = left > 0 ? min(((left - 1) >> stride_log2) + 1, 8) : 0;
    const int cut_off = 4 - min(left - (groups - 1) * stride, 4);
    return groups > 0 ? 0xFFFFFFFFu >> (32 - 4 * groups + cut_off) : 0u;
  }
  template <bool kDense>
  __device__ RowGroup group(const RowTarget& target, int j) const {
    const int first = element + j * stride;
    const int valid = kVectors ? (takes(j) ? 4 : 0) : left - j * stride;
    return RowGroup{first, valid, kDense ? -1 : target.label - first};
  }
};

// The lane's place in a warp that takes outputs first, first + 1 ... of one row, at most `reach`.
template <bool kVectors>
__device__ LanePlace<kVectors> place_in_row(int classes, std::int64_t row, int first, int reach, int lane) {
  LanePlace<kVectors> place;
  place.row = row;
  place.span_first = row * classes + first;
  place.span = min(reach, classes - first);
  place.row_span = place.span;
  place.alone = true;
  place.offset = 4 * lane;
  place.stride_log2 = kStripLog2;
  place.stride = kStrip;
  place.element = first + 4 * lane;
  place.left = classes - place.element;
  place.writes_row = threadIdx.x == 0;
  return place;
}

// A warp's reads and writes. With vectors each lane moves its groups itself. Else the warp moves the span in
// coalesced accesses of one float a lane and turns it around in shared memory, padded so that neither side
// has bank conflicts to speak of. `Tile` has floats and operator[]; a warp's kTileFloats<kGroups> begin at
// warp * kTileFloats<kGroups>. kStream: the matrix is too large to be found in a cache again once it was
// written, or read for the last time.
template <class Tile, int kGroups, bool kVectors, bool kStream>
class WarpMemory {
 public:
  using Place = LanePlace<kVectors>;

  __device__ WarpMemory(Tile* tile, int warp, int lane)
      : tile_(tile), base_(warp * kTileFloats<kGroups>), lane_(lane) {}

  // Begins to read the lane's groups, which are there when arrange() has returned: what can be done without
  // them is done between. With vectors groups that the lane does not take are 0, else what is not the row's
  // (LanePlace::cut) is undefined.
  __device__ void fetch(const float* __restrict__ x, const Place& place, Group<float, 4> (&quads)[kGroups],
                        bool last_use) const {
    if constexpr (kVectors) {
      const float* source = x + place.span_first + place.offset;
      const auto read = [&](int j) {
        if (!place.takes(j)) return;
        const float4 vector =
            load_vector(reinterpret_cast<const float4*>(source + group_offset(place, j)), last_use);
        quads[j] = Group<float, 4>{{vector.x, vector.y, vector.z, vector.w}};
      };
#pragma unroll
      for (int j = 0; j < kGroups; ++j) quads[j] = Group<float, 4>{};
      for_groups<kGroups>([&](int j) { return place.spans(j); }, read);
    } else {
      const float* source = x + place.span_first + lane_;
      if (spans_all(place)) {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) quads[k / 4].v[k % 4] = source[32 * k];
      } else {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) {
          quads[k / 4].v[k % 4] = lane_ + 32 * k < place.span ? source[32 * k] : 0.0f;
        }
      }
    }
  }
  __device__ void arrange(const Place& place, Group<float, 4> (&quads)[kGroups]) const {
    if constexpr (!kVectors) {
      for_groups<kGroups>([&](int j) { return j * kStrip < place.span; },
                          [&](int j) {
#pragma unroll
                            for (int k = 0; k < 4; ++k) coalesced(4 * j + k) = quads[j].v[k];
                          });
      __syncwarp();
      for_groups<kGroups>([&](int j) { return place.spans(j); },
                          [&](int j) {
#pragma unroll
                            for (int k = 0; k < 4; ++k) quads[j].v[k] = grouped(place, j, k);
                          });
      __syncwarp();
    }
  }

  // Stores a group, at the latest when flush() returns. All lanes of a warp put the groups that the warp
  // spans, and flush.
  __device__ void put(float* __restrict__ x, const Place& place, int j, const Group<float, 4>& quad) const {
    if constexpr (kVectors) {
      if (place.takes(j)) {
        float* target = x + place.span_first + place.offset;
        store_vector(reinterpret_cast<float4*>(target + group_offset(place, j)),
                     make_float4(quad.v[0], quad.v[1], quad.v[2], quad.v[3]));
      }
    } else {
      // Beyond the one row of a span nobody looks; beyond one of several the next begins.
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (place.alone || (place.valid_bits() >> (4 * j + k) & 1) != 0) grouped(place, j, k) = quad.v[k];
      }
    }
  }
  __device__ void flush(float* __restrict__ x, const Place& place) const {
    if constexpr (!kVectors) {
      float* target = x + place.span_first + lane_;
      __syncwarp();
      if (spans_all(place)) {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) target[32 * k] = coalesced(k);
      } else {
#pragma unroll
        for (int k = 0; k < 4 * kGroups; ++k) {
          if (lane_ + 32 * k < place.span) target[32 * k] = coalesced(k);
        }
      }
      __syncwarp();
    }
  }

 private:
  // Unsigned, so that nvcc adds it to a pointer instead of working the whole address out for each group.
  __device__ static unsigned group_offset(const Place& place, int j) {
    return static_cast<unsigned>(j * place.stride);
  }
  // Output i of the span is at i + i / 4; both ways to reach one are an address and multiples of a constant.
  __device__ float& coalesced(int k) const {
    return (*tile_)[static_cast<unsigned>(base_ + lane_ + lane_ / 4 + 40 * k)];
  }
  __device__ float& grouped(const Place& place, int j, int k) const {
    const int first = place.offset + k;
    const int at = place.alone ? 5 * lane_ + k : first + first / 4;
    return (*tile_)[static_cast<unsigned>(base_ + at + j * (place.stride + place.stride / 4))];
  }
  __device__ static bool spans_all(const Place& place) { return place.span >= kGroups * kStrip; }

  __device__ static float4 load_vector(const float4* source, bool last_use) {
#if defined(__CUDACC__)
    if (kStream && last_use) return __ldcs(source);
#else
    static_cast<void>(last_use);
#endif
    return *source;
  }
  __device__ static void store_vector(float4* target, float4 vector) {
#if defined(__CUDACC__)
    if constexpr (kStream) {
      __stcs(target, vector);
    } else {  // spelled out, because nvcc takes some of these stores apart
      asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(target)),
                   "f"(vector.x), "f"(vector.y), "f"(vector.z), "f"(vector.w)
                   : "memory");
    }
#else
    *target = vector;
#endif
  }

  Tile* tile_;
  int base_;
  int lane_;
};

// Whether the row's prediction is right, provided that no output is NaN: then residual_sq is NaN, too, and
// the prediction is not. Labels: no output seen ranks above the label's.
template <bool kDense>
struct Ranking {
  std::uint32_t below = 1;

  __device__ void merge(const Ranking& other) { below &= other.below; }
  __device__ bool correct(float residual_sq) const { return residual_sq == residual_sq && below != 0; }
};

// Dense targets: the first largest output and the first largest target are at the same place.
template <>
struct Ranking<true> {
  FirstMaximum<float> output;
  FirstMaximum<float> target;

  __device__ void merge(const Ranking& other) {
    output.merge(other.output.value, other.output.index);
    target.merge(other.target.value, other.target.index);
  }
  __device__ bool correct(float residual_sq) const {
    return residual_sq == residual_sq && output.index == target.index;
  }
};

// A vote is quicker than shuffles.
__device__ inline Ranking<false> warp_reduce(Ranking<false> ranking, Merge, int lanes = kWarpSize) {
  const unsigned votes = __ballot_sync(kFullWarp, ranking.below != 0);
  const unsigned all = lanes == 32 ? kFullWarp : (1u << lanes) - 1;
  const unsigned first = threadIdx.x % 32 & ~static_cast<unsigned>(lanes - 1);
  ranking.below = (votes >> first & all) == all ? 1 : 0;
  return ranking;
}

// All a row's outputs add up to.
template <class Loss, bool kDense>
struct RowTotals {
  typename Loss::Sums sums;
  Ranking<kDense> ranking;

  __device__ void merge(const RowTotals& other) {
    sums.merge(other.sums);
    ranking.merge(other.ranking);
  }
};

template <class Loss, bool kDense>
__device__ RowTotals<Loss, kDense> warp_reduce(const RowTotals<Loss, kDense>& total, Merge merge,
                                               int lanes = kWarpSize) {
  return {warp_reduce(total.sums, merge, lanes), warp_reduce(total.ranking, merge, lanes)};
}

// The groups of a row that a lane holds between the sums and the gradient.
template <class Loss, bool kDense, int kGroups, bool kVectors>
struct RowInRegisters {
  // What outputs are read for: everything at once, or the sums first and the gradient later.
  enum class Pass { only, sums, gradient };
  using Place = LanePlace<kVectors>;

  typename Loss::Row row;
  RowTarget target;
  typename Loss::Kept kept[kGroups] = {};
  Ranking<kDense> ranking;

  // Begins to read; compare() waits for it, and draw() has work until then.
  template <Pass kPass, class Memory>
  __device__ void fetch(const DeviceRows& rows, const Loss& loss, const Place& place, const Memory& memory) {
    constexpr bool last_use = kPass != Pass::sums;
    row = loss.begin_row(place.row);
    if constexpr (!kDense) label_ = rows.labels[place.row];
    memory.fetch(rows.output, place, f_, last_use);
    if constexpr (kDense && kTargetsEarly) memory.fetch(rows.targets, place, y_, last_use);
  }

  // Draws what the loss draws; another time what it draws next.
  __device__ void draw(const Loss& loss, const Place& place) {
    if constexpr (Loss::kDirection) {
      const auto draws = loss.template prepare<kGroups>(row, place.element, place.stride);
      const auto draw_group = [&](int j) {
        loss.draw(kept[j], row, draws, j, place.element + j * place.stride);
      };
      // In pairs, so that chains of operations overlap, and also where the lane takes no group: without a
      // branch.
#pragma unroll
      for (int j = 0; j < kGroups; j += 2) {
        if (j + 1 < kGroups && place.spans(j + 1)) {
          draw_group(j);
          draw_group(j + 1 < kGroups ? j + 1 : j);
        } else if (place.spans(j)) {
          draw_group(j);
        }
      }
      for_cut(place, [&](int j, int k) { kept[j].v.v[k] = 0.0f; });
      ++row.attempt;
    }
  }

  // Makes what is kept of what was read.
  template <Pass kPass, class Memory>
  __device__ void compare(const DeviceRows& rows, const Loss& loss, const Place& place,
                          const Memory& memory) {
    if constexpr (kDense && !kTargetsEarly) memory.fetch(rows.targets, place, y_, kPass != Pass::sums);
    target = RowTarget{label_, 0.0f};
    if constexpr (!kDense) target.label_output = rows.output[place.row * rows.classes + label_];
    memory.arrange(place, f_);
    if constexpr (kDense) memory.arrange(place, y_);
    for_cut(place, [&](int j, int k) {  // what the row does not have is never its largest
      f_[j].v[k] = -INFINITY;
      if constexpr (kDense) y_[j].v[k] = -INFINITY;
    });
    if constexpr (kPass != Pass::gradient) rank(place);
    Group<float, 4> difference[kGroups];  // f - y = -r
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) difference[j].v[k] = kDense ? f_[j].v[k] - y_[j].v[k] : f_[j].v[k];
    }
    if constexpr (!kDense) {
      const int label_at = target.label - place.element;
      if (label_at >= 0 && label_at < kGroups * place.stride && (label_at & (place.stride - 1)) < 4) {
        const float at_label = -one_hot_residual(target.label_output, true);
#pragma unroll
        for (int j = 0; j < kGroups; ++j) {
          const int k_of_label = label_at - j * place.stride;
          if (k_of_label < 0 || k_of_label > 3) continue;
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            if (k == k_of_label) difference[j].v[k] = at_label;
          }
        }
      }
    }
    for_cut(place, [&](int j, int k) { difference[j].v[k] = 0.0f; });
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      loss.keep(kept[j], difference[j], f_[j], kDense ? y_[j] : Group<float, 4>{});
    }
  }

  __device__ typename Loss::Sums sum(const Loss& loss, const Place& place) const {
    typename Loss::Sums sums;
    for_spanned(place, [&](int j) { loss.add(sums, kept[j], place.template group<kDense>(target, j)); });
    return sums;
  }

  // `result` is what the loss makes of the row's sums.
  template <class Memory>
  __device__ void store_groups(const DeviceRows& rows, const Loss& loss, const Place& place,
                               const Memory& memory, const typename Loss::Result& result) const {
    if (rows.gradient != nullptr) {
      store(place, memory, rows.gradient, [&](int j) {
        const RowGroup group = place.template group<kDense>(target, j);
        Group<float, 4> quad;
#pragma unroll
        for (int k = 0; k < 4; ++k) quad.v[k] = loss.gradient(result, kept[j], group, k);
        return quad;
      });
    }
    if (rows.residual != nullptr) {
      store(place, memory, rows.residual,
            [&](int j) { return loss.residual(kept[j], place.template group<kDense>(target, j)); });
    }
    if constexpr (Loss::kDirection) {
      if (rows.v != nullptr) {
        store(place, memory, rows.v, [&](int j) { return loss.direction(result, kept[j]); });
      }
    }
  }

 private:
  // Outputs, targets and what is drawn of several groups would not leave registers for two large blocks.
  static constexpr bool kTargetsEarly = kGroups == 1;

  int label_ = -1;
  Group<float, 4> f_[kGroups];
  Group<float, 4> y_[kDense ? kGroups : 1];

  // Calls work(j, k) for each output k of a group j that is not the row's.
  template <class Work>
  __device__ static void for_cut(const Place& place, const Work& work) {
    if (!place.template cut<kGroups>()) return;
    const std::uint32_t valid = place.valid_bits();
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if ((valid >> (4 * j + k) & 1) == 0) work(j, k);
      }
    }
  }

  template <class Work>
  __device__ static void for_spanned(const Place& place, const Work& work) {
    for_groups<kGroups>([&](int j) { return place.spans(j); }, work);
  }

  template <class Memory, class MakeQuad>
  __device__ void store(const Place& place, const Memory& memory, float* x, const MakeQuad& make_quad) const {
    for_spanned(place, [&](int j) { memory.put(x, place, j, make_quad(j)); });
    memory.flush(x, place);
  }

  __device__ void rank(const Place& place) {
    float largest = -INFINITY;
    for_spanned(place, [&](int j) {
      if (kVectors && !place.takes(j)) return;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if constexpr (kDense) {
          ranking.output.merge(f_[j].v[k], place.element + j * place.stride + k);
          ranking.target.merge(y_[j].v[k], place.element + j * place.stride + k);
        } else {
          largest = fmaxf(largest, f_[j].v[k]);
        }
      }
    });
    if constexpr (!kDense) {
      ranking.below = largest <= target.label_output ? 1 : 0;
      // Nearly all lanes hold no output equal to the label's, and are done.
      if (largest == target.label_output) settle_ties(place);
    }
  }

  __device__ void settle_ties(const Place& place) {
#pragma unroll
    for (int j = 0; j < kGroups; ++j) {
      const RowGroup group = place.template group<kDense>(target, j);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (k < group.label_at && group.has(k) && !ranks_below(f_[j].v[k], target.label_output, true)) {
          ranking.below = 0;
        }
      }
    }
  }
};

// The values of a row, by the one lane that `place` tells.
template <class Loss, bool kDense, bool kVectors>
__device__ void store_row(const DeviceRows& rows, const LanePlace<kVectors>& place,
                          const typename Loss::Result& result, const Ranking<kDense>& ranking) {
  if (!place.writes_row) return;
  rows.sample_loss[place.row] = rows.loss_scale * result.loss;
  rows.residual_sq[place.row] = result.residual_sq;
  rows.correct[place.row] = ranking.correct(result.residual_sq) ? 1 : 0;
}

}  // namespace qmse::device
