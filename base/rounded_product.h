// C++17: included by device code.
#pragma once

namespace qmse {

// A product that no compiler contracts into a fused multiply-add with the sum it stands in: where the
// rounding is part of a rule, or where a sum must not depend on which of its terms is whose.
#if defined(__CUDA_ARCH__)
__device__ inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }
#else
template <class T>
inline T rounded_product(T a, T b) {
  return a * b;
}
#endif

}  // namespace qmse
