// Loops that gain from wider vectors are compiled once for each instruction set and chosen at run time.
//
// A file named *_simd.cpp is compiled for the baseline and, on x86-64, again for AVX-512 (cmake/QmseLibrary.cmake),
// with its functions and what its headers define inline in a namespace of the instruction set's name: two
// bodies of one inline function would be one to the linker, which keeps either. So such a file calls no
// inline function from elsewhere that may stay a call; tests/scripts/simd_symbols_test.py looks.
#pragma once

#include "base/build_config.h"
#include "device/instruction_set.h"

#ifndef QMSE_ISA
#define QMSE_ISA baseline
#endif

namespace qmse {
inline namespace QMSE_ISA {}
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
