#include "device/instruction_set.h"

#include "base/build_config.h"

namespace qmse {

bool available(InstructionSet set) {
  if (set == InstructionSet::baseline) return true;
#if QMSE_AVX512
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

InstructionSet best_instruction_set() {
  return available(InstructionSet::avx512) ? InstructionSet::avx512 : InstructionSet::baseline;
}

std::string name(InstructionSet set) {
  if (set == InstructionSet::avx512) return "AVX-512";
#if defined(__AVX2__) && defined(__FMA__)
  return "x86-64-v3 (AVX2, FMA)";
#else
  return "the compiler's default";
#endif
}

}  // namespace qmse
