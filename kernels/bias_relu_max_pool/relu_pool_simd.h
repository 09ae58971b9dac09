// ReluPoolWindow (bias_relu_max_pool_math.h) for a vector of channels.
#pragma once

#include <cstdint>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/cpu/simd.h"

namespace qmse {
namespace QMSE_ISA {

template <class V, class Int>
struct SimdReluPoolWindow {
  V best{};
  Int choice = Int{} + kNothingPassed;

  void visit(V biased, std::int64_t place) {
    const Int wins = (biased > best) | (biased != biased);  // NOLINT(misc-redundant-expression): NaN
    best = simd_choose(wins, biased, best);
    choice = simd_choose(wins, Int{} + static_cast<std::int32_t>(place), choice);
  }
};

}  // namespace QMSE_ISA
}  // namespace qmse
