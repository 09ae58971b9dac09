// Loops that gain from wider vectors are compiled once for each instruction set and chosen at run time.
//
// A file named *_simd.cpp is compiled for the baseline and, on x86-64, again for AVX-512, by
// cmake/QmseLibrary.cmake. What it defines is in a namespace of the instruction set's name, QMSE_ISA, and so
// is what the headers for it define: an inline function that has two bodies is one to the linker, which keeps
// either. Such a file calls no other inline function, then, that may stay a call
// (tests/scripts/simd_symbols_test.py looks).
#pragma once

#include <cstdint>

#include "base/build_config.h"
#include "device/instruction_set.h"

#ifndef QMSE_ISA
#define QMSE_ISA baseline
#define QMSE_WIDE 0  // whether vectors are those of AVX-512
#else
#define QMSE_WIDE 1
#endif

namespace qmse {
namespace QMSE_ISA {}
using namespace QMSE_ISA;  // NOLINT(google-build-using-namespace): one of these, as an inline namespace
}  // namespace qmse

// QMSE_FOR_EACH_ISA(declarations;) declares the functions of a *_simd.cpp, and QMSE_FOR_ISA(set, function) is
// that of an instruction set.
#if QMSE_AVX512
#define QMSE_FOR_EACH_ISA(...) \
  namespace baseline {         \
  __VA_ARGS__                  \
  }                            \
  namespace avx512 {           \
  __VA_ARGS__                  \
  }
#define QMSE_FOR_ISA(set, function) \
  ((set) == InstructionSet::avx512 ? &avx512::function : &baseline::function)
#else
#define QMSE_FOR_EACH_ISA(...) \
  namespace baseline {         \
  __VA_ARGS__                  \
  }
#define QMSE_FOR_ISA(set, function) (static_cast<void>(set), &baseline::function)
#endif

namespace qmse {

// Channels of a block that are worked on together, and whose loops do it.
struct BlockVector {
  InstructionSet set;
  std::int64_t lanes;                               // of f32
  std::int64_t panel() const { return 2 * lanes; }  // of outputs in the forward loops
};

// The widest vector that blocks are whole numbers of.
inline BlockVector block_vector(InstructionSet set, std::int64_t block) {
  if (set == InstructionSet::avx512 && block % 16 == 0) return {set, 16};
  return {InstructionSet::baseline, 8};
}

}  // namespace qmse
