// One pixel, normalised. C++17: included by device code.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/host_device.h"

namespace qmse {

template <class T>
QMSE_HOST_DEVICE inline T normalize_pixel(std::uint8_t pixel, T scale, T shift) {
  return std::fma(static_cast<T>(pixel), scale, shift);
}

}  // namespace qmse
