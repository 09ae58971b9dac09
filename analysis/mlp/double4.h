// Four doubles side by side, for the functions of kernels/ensemble_mlp.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"
#include "kernels/ensemble_mlp/elementary_math.h"

namespace qmse {

using Double4 = Simd<double>;
typedef std::int64_t Long4 __attribute__((vector_size(32)));

template <>
struct LanesOf<Double4> {
  using Bits = std::int64_t;
  static Double4 set(double value) { return simd_set(value); }
  static Double4 fma(Double4 a, Double4 b, Double4 c) { return simd_fma(a, b, c); }
  static Long4 bits(Double4 a) { return reinterpret_cast<Long4>(a); }
  static Double4 from_bits(Long4 bits) { return reinterpret_cast<Double4>(bits); }
};

}  // namespace qmse
