// What the losses' CPU sides share. Rows are handed to the threads in ranges cut by the sizes alone, and a
// row belongs to one thread, so bits do not depend on the number of threads. Rows are worked through in
// blocks that stay in the first-level cache; sums within a block are taken over four vectors of lanes, sums
// of blocks in f64, both in a fixed order, so that f32 sums stay within some 1e-6 (relative) for any c.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/context.h"
#include "kernels/cpu/ranges.h"
#include "kernels/cpu/simd.h"
#include "kernels/row_loss/row_loss.h"
#include "kernels/row_loss/row_loss_math.h"

namespace qmse {

inline constexpr std::int64_t kRowBlock = 1024;

// <a, b> of at most a block.
template <class T>
T block_dot(const T* a, const T* b, std::int64_t n) {
  constexpr int kLanes = kSimdLanes<T>;
  Simd<T> sums[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int part = 0; part < 4; ++part) {
      sums[part] = simd_fma(simd_load(a + i + part * kLanes), simd_load(b + i + part * kLanes), sums[part]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = simd_fma(simd_load(a + i), simd_load(b + i), sums[0]);
  const Simd<T> lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  T sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// One row of the arguments.
template <class T>
struct CpuRow {
  std::int64_t classes;
  const T* output;
  const T* target;     // null with labels
  std::int64_t label;  // -1 with dense targets
  T* gradient;         // may be null
  T* residual;         // may be null

  CpuRow(const RowLossArgs<T>& args, std::int64_t row)
      : classes(args.classes),
        output(args.output + row * args.classes),
        target(args.targets != nullptr ? args.targets + row * args.classes : nullptr),
        label(args.labels != nullptr ? args.labels[row] : -1),
        gradient(args.gradient != nullptr ? args.gradient + row * args.classes : nullptr),
        residual(args.residual != nullptr ? args.residual + row * args.classes : nullptr) {}

  // r = y - f for outputs first .. first + count - 1.
  void residual_block(std::int64_t first, std::int64_t count, T* r) const {
    if (target != nullptr) {
      for (std::int64_t i = 0; i < count; ++i) r[i] = target[first + i] - output[first + i];
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) r[i] = one_hot_residual(output[first + i], false);
    if (label >= first && label < first + count) {
      r[label - first] = one_hot_residual(output[label], true);
    }
  }

  // body(first, count) over the row's blocks.
  template <class Body>
  void for_blocks(const Body& body) const {
    for (std::int64_t first = 0; first < classes; first += kRowBlock) {
      body(first, std::min(kRowBlock, classes - first));
    }
  }

  void store_residual() const {
    if (residual == nullptr) return;
    for_blocks(
        [&](std::int64_t first, std::int64_t count) { residual_block(first, count, residual + first); });
  }

  // Whether the prediction is right; `no_nan` tells whether residual_sq is a number.
  bool correct(bool no_nan) const {
    if (!no_nan) return false;
    if (target == nullptr) {
      unsigned below = 1;
      for (std::int64_t i = 0; i < label; ++i) below &= ranks_below(output[i], output[label], true);
      for (std::int64_t i = label; i < classes; ++i) below &= ranks_below(output[i], output[label], false);
      return below != 0;
    }
    FirstMaximum<T> best_output, best_target;
    for (std::int64_t i = 0; i < classes; ++i) {
      best_output.merge(output[i], static_cast<std::int32_t>(i));
      best_target.merge(target[i], static_cast<std::int32_t>(i));
    }
    return best_output.index == best_target.index;
  }
};

template <class T>
void store_row_values(const RowLossArgs<T>& args, std::int64_t row, double loss, double residual_sq,
                      bool correct) {
  args.sample_loss[row] = static_cast<T>(args.scale * loss);
  args.residual_sq[row] = static_cast<T>(residual_sq);
  args.correct[row] = correct ? 1 : 0;
}

}  // namespace qmse
