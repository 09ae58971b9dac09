// Included first by every `.cuh`: what kernels may use. They are written in a plain subset of CUDA C++17 that
// two compilers accept: nvcc, and the host compiler for the SIMT executor (QMSE_SIMT, tests/simt/README.md
// lists the subset). Shared memory has two forms, both checked by the executor:
//
//   __shared__ SharedArray<float, 32> partial;         // static; partial[i], partial.data(), contents
//   undefined
//   __shared__ SharedArray<float[33], 32> tile;        // tile[row][column]
//   float* row = dynamic_shared<float>();              // LaunchShape::shared_bytes of it, 16-byte aligned
#pragma once

#if defined(__CUDACC__)

#include <cuda_runtime.h>

namespace qmse {

template <class T, unsigned size>
struct SharedArray {
  T values[size];
  __device__ T& operator[](unsigned index) { return values[index]; }
  __device__ T* data() { return values; }
};

template <class T>
__device__ inline T* dynamic_shared() {
  static_assert(alignof(T) <= 16, "dynamic shared memory is 16-byte aligned");
  extern __shared__ __align__(16) unsigned char qmse_dynamic_shared[];
  return reinterpret_cast<T*>(qmse_dynamic_shared);
}

}  // namespace qmse

#elif defined(QMSE_SIMT)

#include "kernels/gpu/simt/cuda_names.h"

#else
#error "device code is compiled by nvcc, or for the SIMT executor with QMSE_SIMT defined"
#endif
