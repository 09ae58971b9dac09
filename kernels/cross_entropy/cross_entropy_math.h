// The formulas of cross_entropy.h, from sums that are taken relative to the row's largest output so that
// nothing overflows, can be taken part by part, and are merged in any fixed order. C++17: included by
// device code.
#pragma once

#include <cmath>

#include "base/host_device.h"
#include "base/rounded_product.h"

namespace qmse {

// exp(output - maximum), 0 for an output of -infinity even where nothing larger was seen yet.
template <class T>
QMSE_HOST_DEVICE T softmax_exponential(T output, T maximum) {
  return std::exp(output - (maximum == -static_cast<T>(INFINITY) ? T(0) : maximum));
}

// What a row's gradient and values are made of: softmax(f)_i = exp(f_i - maximum) * inverse_sum.
template <class T>
struct CrossEntropyRow {
  T loss;
  T residual_sq;
  T maximum;
  T inverse_sum;
  T target_sum;

  QMSE_HOST_DEVICE T softmax(T output) const { return std::exp(output - maximum) * inverse_sum; }
  QMSE_HOST_DEVICE T gradient(T probability, T target) const { return target_sum * probability - target; }
};

// exp(maximum - common) for sums relative to `maximum` that become relative to `common` >= maximum; 1 where
// both are -infinity (nothing was added yet).
template <class T>
QMSE_HOST_DEVICE T rescaling(T maximum, T common) {
  return maximum == common ? T(1) : std::exp(maximum - common);
}

// In both kinds of sums the products of rescale() are rounded before they are added, so that merge() gives
// the same bits whichever of the two is `this`: the lanes of a row must agree.

// One-hot targets. The label's own term stays out of the sums: 1 - softmax(f)_label is then a sum of positive
// terms, and a small loss or residual keeps its relative precision.
template <class T>
struct LabelSoftmaxSums {
  T maximum = -static_cast<T>(INFINITY);  // of all outputs, the label's too
  T others = 0;                           // sum over i != label of e_i = exp(f_i - maximum)
  T others_sq = 0;                        // of e_i^2

  QMSE_HOST_DEVICE void rescale(T common) {
    const T factor = rescaling(maximum, common);
    maximum = common;
    others = rounded_product(others, factor);
    others_sq = rounded_product(others_sq, factor * factor);
  }
  QMSE_HOST_DEVICE void merge(LabelSoftmaxSums other) {
    const T common = std::fmax(maximum, other.maximum);
    rescale(common);
    other.rescale(common);
    others += other.others;
    others_sq += other.others_sq;
  }
  // `e` is exp(f_i - maximum).
  QMSE_HOST_DEVICE void add(T e, bool is_label) {
    if (is_label) e = 0;
    others += e;
    others_sq += e * e;
  }

  QMSE_HOST_DEVICE CrossEntropyRow<T> finish(T label_output) const {
    const T sum = others + std::exp(label_output - maximum);
    const T inverse = T(1) / sum;
    const T miss = others * inverse;  // 1 - softmax(f)_label
    CrossEntropyRow<T> row;
    // -log softmax(f)_label; both terms are non-negative.
    row.loss = label_output == maximum ? std::log1p(others) : (maximum - label_output) + std::log(sum);
    row.residual_sq = miss * miss + others_sq * inverse * inverse;
    row.maximum = maximum;
    row.inverse_sum = inverse;
    row.target_sum = 1;
    return row;
  }
};

// Dense targets. ||y - softmax||^2 is put together from squares and products, so its error is relative to
// ||y||^2 + ||softmax||^2.
template <class T>
struct DenseSoftmaxSums {
  T maximum = -static_cast<T>(INFINITY);
  T sum = 0;           // of e_i = exp(f_i - maximum)
  T sum_sq = 0;        // of e_i^2
  T target_e = 0;      // of y_i e_i
  T target_below = 0;  // of y_i (maximum - f_i)
  T target_sum = 0;    // of y_i
  T target_sq = 0;     // of y_i^2

  QMSE_HOST_DEVICE void rescale(T common) {
    const T factor = rescaling(maximum, common);
    if (target_sum != T(0)) target_below += rounded_product(target_sum, common - maximum);
    maximum = common;
    sum = rounded_product(sum, factor);
    sum_sq = rounded_product(sum_sq, factor * factor);
    target_e = rounded_product(target_e, factor);
  }
  QMSE_HOST_DEVICE void merge(DenseSoftmaxSums other) {
    const T common = std::fmax(maximum, other.maximum);
    if (maximum != common) rescale(common);
    if (other.maximum != common) other.rescale(common);
    sum += other.sum;
    sum_sq += other.sum_sq;
    target_e += other.target_e;
    target_below += other.target_below;
    target_sum += other.target_sum;
    target_sq += other.target_sq;
  }
  QMSE_HOST_DEVICE void add(T e, T output, T target) {
    sum += e;
    sum_sq += e * e;
    target_e += target * e;
    if (target != T(0)) target_below += target * (maximum - output);
    target_sum += target;
    target_sq += target * target;
  }

  QMSE_HOST_DEVICE CrossEntropyRow<T> finish() const {
    const T inverse = T(1) / sum;
    CrossEntropyRow<T> row;
    row.loss = target_below + target_sum * std::log(sum);
    const T square = target_sq - T(2) * target_e * inverse + sum_sq * inverse * inverse;
    row.residual_sq = square < T(0) ? T(0) : square;
    row.maximum = maximum;
    row.inverse_sum = inverse;
    row.target_sum = target_sum;
    return row;
  }
};

}  // namespace qmse
