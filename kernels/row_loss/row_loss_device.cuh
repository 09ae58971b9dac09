// The parts the losses' kernels are made of beside row_memory.cuh: how sums are merged, and what a lane keeps
// of a row in registers. See row_loss.cuh for the whole.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/gpu/elements.cuh"
#include "kernels/gpu/reduce.cuh"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_math.h"
#include "kernels/row_loss/row_memory.cuh"

namespace qmse::device {

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

template <bool kDense>
__device__ RowTarget row_target(const DeviceRows& rows, std::int64_t row) {
  if constexpr (kDense) {
    return RowTarget{-1, 0.0f};
  } else {
    const int label = rows.labels[row];
    return RowTarget{label, rows.output[row * rows.classes + label]};
  }
}

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
  RowTarget target{};
  typename Loss::Kept kept[kGroups] = {};
  Ranking<kDense> ranking;

  // Begins to read; compare() waits for it, and draw() has work until then.
  template <Pass kPass, class Memory>
  __device__ void fetch(const DeviceRows& rows, const Loss& loss, const Place& place, const Memory& memory) {
    constexpr bool last_use = kPass != Pass::sums;
    row = loss.begin_row(place.row);
    target.label = kDense ? -1 : rows.labels[place.row];
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
    if constexpr (!kDense) target.label_output = rows.output[place.row * rows.classes + target.label];
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
    place.template for_spanned<kGroups>(
        [&](int j) { loss.add(sums, kept[j], place.template group<kDense>(target, j)); });
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

  template <class Memory, class MakeQuad>
  __device__ void store(const Place& place, const Memory& memory, float* x, const MakeQuad& make_quad) const {
    place.template for_spanned<kGroups>([&](int j) { memory.put(x, place, j, make_quad(j)); });
    memory.flush(x, place);
  }

  __device__ void rank(const Place& place) {
    float largest = -INFINITY;
    place.template for_spanned<kGroups>([&](int j) {
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
