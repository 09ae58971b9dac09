// What planned operations share: which type and gradients a plan is for, and how the memory it is given
// is aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace qmse {

// A plan may leave out what is not needed: no algorithm is looked for, no memory taken. Asking for it all the
// same is a std::logic_error.
struct BackwardNeeds {
  bool data = true;     // of the input
  bool weights = true;  // of weights and bias
};

// The type of the numbers that a plan is for: make_conv2d(context, Precision<double>(), shape).
template <class T>
struct Precision {};

// What plans of library calls (cuDNN, cuBLASLt), and of kernels in their place, count on.
inline constexpr std::size_t kPlannedAlignment = 16;  // bytes: one vector access of the GPU

// Throws ShapeError naming `what` unless `pointer` (null is fine) is aligned as planned.
inline void check_alignment(const void* pointer, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % kPlannedAlignment != 0) {
    throw ShapeError(std::string(what) + ": the pointer is not aligned to " +
                     std::to_string(kPlannedAlignment) + " bytes, which planned GPU operations need");
  }
}

}  // namespace qmse
