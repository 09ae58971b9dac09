// ReluPoolWindow (bias_relu_max_pool_math.h) for a vector of channels.
#pragma once

#include <cstdint>

#include "kernels/bias_relu_max_pool/bias_relu_max_pool.h"
#include "kernels/cpu/simd.h"

namespace qmse {

struct SimdReluPoolWindow {
  Simd<float> best{};
  SimdInt choice = SimdInt{} + kNothingPassed;

  void visit(Simd<float> biased, std::int64_t place) {
    const SimdInt wins = (biased > best) | (biased != biased);  // NOLINT(misc-redundant-expression): NaN
    best = simd_choose(wins, biased, best);
    choice = simd_choose(wins, SimdInt{} + static_cast<std::int32_t>(place), choice);
  }
};

}  // namespace qmse
