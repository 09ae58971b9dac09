// Shapes and images for tests of pooling.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/max_pool2d/max_pool2d.h"
#include "tests/support/numbers.h"

namespace qmse::test {

// Widths for each access width, heights and widths with rows and columns left over, windows from 1 to 15, and
// channels of more than one split.
inline const MaxPool2dShape kPoolShapes[] = {
    {2, 3, 8, 8, 2},    {1, 3, 14, 14, 2}, {2, 2, 7, 12, 2},  {1, 2, 7, 7, 2},    {1, 2, 6, 9, 2},
    {1, 1, 2, 2, 2},    {2, 1, 5, 4, 1},   {1, 3, 9, 11, 3},  {1, 1, 16, 31, 15}, {150, 2, 8, 8, 2},
    {300, 2, 4, 2, 2},  {5, 2, 15, 15, 2}, {2, 3, 28, 28, 2}, {3, 2, 14, 14, 2},  {2, 2, 8, 9, 2},
    {1, 2, 31, 47, 15}, {1, 1, 6, 5, 5},   {40, 7, 13, 17, 4}};

inline std::int64_t inputs(const MaxPool2dShape& shape) {
  return shape.batch * shape.channels * shape.in_height * shape.in_width;
}
inline std::int64_t outputs(const MaxPool2dShape& shape) {
  return shape.batch * shape.channels * shape.out_height() * shape.out_width();
}

// Images with many ties, also at zero of both signs, and some NaN.
inline std::vector<float> images_with_ties(const MaxPool2dShape& shape, bool with_nan) {
  auto x = random_values<float>(inputs(shape), 1);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::round(x[i] * 3);
    if (with_nan && i % 13 == 5) x[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return x;
}

}  // namespace qmse::test
