// C++17: included by device code.
#pragma once

#include "base/choice.h"

namespace qmse {

// How convolutions and matrix products of f32 numbers are calculated on a GPU.
enum class MathMode {
  fp32,  // every multiplication and addition in f32
  tf32,  // tensor cores may round the factors to TF32 (10 bits of fraction); sums stay in f32
};
constexpr std::array<Choice<MathMode>, 2> choices(MathMode) {
  return {{{MathMode::fp32, "fp32"}, {MathMode::tf32, "tf32"}}};
}

}  // namespace qmse
