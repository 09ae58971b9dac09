// The alignment that plans of library calls (cuDNN, cuBLASLt) count on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/core/error.h"

namespace qmse {

inline constexpr std::size_t kPlannedAlignment = 16;  // bytes: one vector access of the GPU

// Throws ShapeError naming `what` unless `pointer` (null is fine) is aligned as planned.
inline void check_alignment(const void* pointer, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % kPlannedAlignment != 0) {
    throw ShapeError(std::string(what) + ": the pointer is not aligned to " +
                     std::to_string(kPlannedAlignment) + " bytes, which planned GPU operations need");
  }
}

}  // namespace qmse
