// The instruction sets that a test of the loops in *_simd.cpp goes through.
#pragma once

#include <vector>

#include "device/instruction_set.h"
#include "tests/support/catch.h"

namespace qmse::test {

inline std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {InstructionSet::baseline};
  if (available(InstructionSet::avx512)) {
    sets.push_back(InstructionSet::avx512);
  } else {
    WARN("[skipped for AVX-512: this processor lacks it]");
  }
  return sets;
}

}  // namespace qmse::test
