// The pointwise activations. C++17: included by device code.
#pragma once

namespace qmse {

enum class Activation { identity, relu, tanh, sigmoid };

}  // namespace qmse
