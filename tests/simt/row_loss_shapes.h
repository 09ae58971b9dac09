// With how many orders of threads a loss's kernels are run at a shape.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/simt/executor.h"
#include "tests/support/row_shapes.h"

namespace qmse::test {

// Long rows take long: fewer seeds.
inline std::vector<std::uint64_t> shape_seeds(const RowShape& shape) {
  if (shape.batch * shape.classes > 4000) return {2};
  if (shape.batch * shape.classes > 1000) return {1, 2};
  return simt::seeds();
}

}  // namespace qmse::test
