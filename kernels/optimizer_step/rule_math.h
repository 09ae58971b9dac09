// What rules share. C++17: included by device code.
#pragma once

#include <cmath>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "base/host_device.h"
#include "base/rounded_product.h"

namespace qmse {

// The gradient of the loss and of weight decay. Left out at zero, as PyTorch does: 0 * w is NaN where w
// has overflowed.
template <class T>
QMSE_HOST_DEVICE T decayed(T weight_decay, T w, T gradient) {
  return weight_decay != T(0) ? std::fma(weight_decay, w, gradient) : gradient;
}

// Throws ConfigError: `what`, and the value that is not so.
inline void require_hyper(bool condition, const char* what, double value) {
  if (condition) return;
  std::ostringstream message;  // std::to_string would write 1e-60 as 0.000000
  message << what << ", not " << value;
  throw ConfigError(message.str());
}

inline void require_fraction(const char* what, double value) {
  require_hyper(value >= 0 && value < 1, what, value);
}

inline void require_weight_decay(double value) {
  require_hyper(value >= 0 && std::isfinite(value), "weight_decay must be finite and at least 0", value);
}

// One of the numbers that T holds with its full precision: an epsilon that became 0 would divide by it.
template <class T>
void require_epsilon(double value) {
  require_hyper(value >= static_cast<double>(std::numeric_limits<T>::min()) &&
                    value <= static_cast<double>(std::numeric_limits<T>::max()),
                "epsilon must be finite, above 0 and not too small for the weights' type", value);
}

}  // namespace qmse
