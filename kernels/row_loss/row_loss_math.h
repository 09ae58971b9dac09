// What the losses' CPU and CUDA sides share: how rows are cut, when a prediction counts as correct, and the
// losses that depend on the residual alone. C++17: included by device code.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "base/host_device.h"

namespace qmse {

constexpr std::int64_t kMaxRow = std::int64_t{1} << 30;  // so that sums of a few indices fit an int

// CUDA: rows up to this length are held in the registers of one block; longer ones are cut into slabs.
constexpr std::int64_t kMaxBlockRow = 8192;
constexpr std::int64_t kSlab = 8192;
constexpr std::size_t kPartialBytes = 48;  // the sums of one slab, for the loss that has most of them
constexpr std::int64_t row_slabs(std::int64_t classes) { return (classes + kSlab - 1) / kSlab; }

// A prediction is correct if its label's output is the first largest, that is if every output ranks below the
// label's. Comparisons with NaN are false, so an output that is NaN is never correct.
template <class T>
QMSE_HOST_DEVICE bool ranks_below(T output, T label_output, bool before_label) {
  return before_label ? output < label_output : output <= label_output;
}

// The first largest element, found in any order; NaN is passed over.
template <class T>
struct FirstMaximum {
  T value = -static_cast<T>(INFINITY);
  std::int32_t index = INT32_MAX;

  QMSE_HOST_DEVICE void merge(T other_value, std::int32_t other_index) {
    if (other_value > value || (other_value == value && other_index < index)) {
      value = other_value;
      index = other_index;
    }
  }
};

// The residual of one output where the target is one-hot.
template <class T>
QMSE_HOST_DEVICE T one_hot_residual(T output, bool is_label) {
  return is_label ? T(1) - output : -output;
}

}  // namespace qmse
