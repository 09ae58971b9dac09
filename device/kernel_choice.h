// By which kernels a GPU calculates the network's convolutions and matrix products. C++17: included by
// device code.
#pragma once

#include "base/choice.h"

namespace qmse {

enum class KernelChoice {
  automatic,  // our own where there are such (kernels/pooled_conv, kernels/narrow_linear) and the math is fp32,
              // the libraries' elsewhere
  library,    // cuDNN's and cuBLASLt's alone
};
constexpr std::array<Choice<KernelChoice>, 2> choices(KernelChoice) {
  return {{{KernelChoice::automatic, "auto"}, {KernelChoice::library, "library"}}};
}

}  // namespace qmse
