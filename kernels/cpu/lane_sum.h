#pragma once

#include <cstdint>

namespace qmse {

// The sum of term(i) in f64 over i in [0, n), in fixed lanes, so that the compiler may use vectors without
// changing the order.
template <class Term>
double lane_sum(std::int64_t n, const Term& term) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  double total = 0;
  for (; i < n; ++i) total += term(i);
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace qmse
