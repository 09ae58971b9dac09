#include "kernels/linear/linear.h"

#include <string>

#include "base/error.h"

namespace qmse {

void check(const LinearShape& s) {
  const std::string text = "linear layer [" + std::to_string(s.batch) + ", " + std::to_string(s.in_features) +
                           "] -> " + std::to_string(s.out_features) + ": ";
  if (s.batch < 1 || s.in_features < 1 || s.out_features < 1)
    throw ShapeError(text + "every size must be at least 1");
  if (s.activation != Activation::identity && s.activation != Activation::relu)
    throw ShapeError(text + "only identity and relu can be fused; use bias_activation for the others");
}

}  // namespace qmse
