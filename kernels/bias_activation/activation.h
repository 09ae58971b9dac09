// The pointwise activations. C++17: included by device code.
#pragma once

#include "base/choice.h"

namespace qmse {

enum class Activation { identity, relu, tanh, sigmoid };
constexpr std::array<Choice<Activation>, 4> choices(Activation) {
  return {{{Activation::relu, "relu"},
           {Activation::tanh, "tanh"},
           {Activation::sigmoid, "sigmoid"},
           {Activation::identity, "identity"}}};
}

}  // namespace qmse
