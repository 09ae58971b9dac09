// What layers with weights are given and what they give, for the tests of operations that are planned.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "tests/operations/devices.h"
#include "tests/support/numbers.h"

namespace qmse::test {

struct LayerSizes {
  std::int64_t x, w, bias, dy;  // y is as large as dy
};

template <class T>
struct LayerInputs {
  std::vector<T> x, w, bias, dy;
};

template <class T>
struct LayerResults {
  std::vector<T> y, dx, dw, db;
};

template <class T>
LayerInputs<T> whole_inputs(const LayerSizes& n) {
  return {random_integers<T>(n.x, 1), random_integers<T>(n.w, 2), random_integers<T>(n.bias, 3),
          random_integers<T>(n.dy, 4)};
}
template <class T>
LayerInputs<T> fractional_inputs(const LayerSizes& n) {
  return {random_values<T>(n.x, 1), random_values<T>(n.w, 2), random_values<T>(n.bias, 3),
          random_values<T>(n.dy, 4)};
}

template <class T>
LayerInputs<double> to_f64(const LayerInputs<T>& in) {
  return {to_f64(in.x), to_f64(in.w), to_f64(in.bias), to_f64(in.dy)};
}
template <class T>
LayerInputs<double> magnitudes(const LayerInputs<T>& in) {
  return {magnitudes(in.x), magnitudes(in.w), magnitudes(in.bias), magnitudes(in.dy)};
}

// A layer's tensors on a device; the results hold NaN beforehand.
template <class C, class T>
struct LayerTensors {
  LayerTensors(const Device<C, T>& device, const LayerInputs<T>& in)
      : x(device.array(in.x)),
        w(device.array(in.w)),
        bias(device.array(in.bias)),
        dy(device.array(in.dy)),
        y(unwritten(device, in.dy)),
        dx(unwritten(device, in.x)),
        dw(unwritten(device, in.w)),
        db(unwritten(device, in.bias)) {}

  LayerResults<T> results() const { return {y.values(), dx.values(), dw.values(), db.values()}; }

  Array<C, T> x, w, bias, dy, y, dx, dw, db;

 private:
  static Array<C, T> unwritten(const Device<C, T>& device, const std::vector<T>& like) {
    return device.template unwritten<T>(static_cast<std::int64_t>(like.size()),
                                        std::numeric_limits<T>::quiet_NaN());
  }
};

// A sum of `terms` products of factors below 1. On the CPU partial sums are of the order of sqrt(terms), each
// rounded to its own unit, so the sum stays within 2 * terms units of 1 (one product left out would be of the
// order of 1). A GPU's libraries may work on transformed tiles, and then round at the size of the tile's
// other elements.
template <class C, class T>
void check_products(const Device<C, T>& device, const std::vector<T>& actual,
                    const std::vector<double>& expected, const std::vector<double>& magnitude,
                    std::int64_t terms) {
  if constexpr (Device<C, T>::kIsCpu) {
    check_close(actual, expected, 0, Device<C, T>::kEpsilon * static_cast<double>(terms));
  } else {
    check_sums(actual, expected, magnitude, device.sum_tolerance(), 0.25);
  }
}

template <class T>
void check_same_bits(const LayerResults<T>& a, const LayerResults<T>& b) {
  CHECK(same_bits(a.y, b.y));
  CHECK(same_bits(a.dx, b.dx));
  CHECK(same_bits(a.dw, b.dw));
  CHECK(same_bits(a.db, b.db));
}

}  // namespace qmse::test
