// Lengths of vectors; sums in the order of the elements.
#pragma once

#include <cmath>
#include <span>

namespace qmse {

inline double squared_norm(std::span<const double> values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return squares;
}
inline double norm(std::span<const double> values) { return std::sqrt(squared_norm(values)); }

}  // namespace qmse
