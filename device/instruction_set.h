// The instruction sets that the CPU's loops are compiled for (kernels/cpu/dispatch.h). Results have the same
// bits whichever is used.
#pragma once

#include <string>

namespace qmse {

enum class InstructionSet {
  baseline,  // what the whole program is compiled for: AVX2 and FMA on x86-64
  avx512,    // AVX-512 F, BW, DQ and VL
};

// Whether this processor has it and this build has loops for it.
bool available(InstructionSet set);
// The last that is available.
InstructionSet best_instruction_set();
std::string name(InstructionSet set);  // "AVX-512"

}  // namespace qmse
