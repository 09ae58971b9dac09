// CUDA's vector types for the SIMT executor, with CUDA's alignments, so that UndefinedBehaviorSanitizer sees
// a misaligned vector access.
#pragma once

#if defined(QMSE_CUDA_STAND_IN)  // beside CUDA's own headers (tests/cuda_device)

#include <vector_functions.h>

using uchar = unsigned char;

#else

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};

#define QMSE_SIMT_VECTOR_TYPES(T, name, align2, align4)                 \
  struct alignas(align2) name##2 {                                      \
    T x, y;                                                             \
  };                                                                    \
  struct name##3 {                                                      \
    T x, y, z;                                                          \
  };                                                                    \
  struct alignas(align4) name##4 {                                      \
    T x, y, z, w;                                                       \
  };                                                                    \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  constexpr name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

using uchar = unsigned char;
using uint = unsigned int;
QMSE_SIMT_VECTOR_TYPES(uchar, uchar, 2, 4)
QMSE_SIMT_VECTOR_TYPES(int, int, 8, 16)
QMSE_SIMT_VECTOR_TYPES(uint, uint, 8, 16)
QMSE_SIMT_VECTOR_TYPES(float, float, 8, 16)
QMSE_SIMT_VECTOR_TYPES(double, double, 16, 16)
#undef QMSE_SIMT_VECTOR_TYPES

#endif
