// C++17: included by device code.
#pragma once

namespace qmse {

// n consecutive elements, n a power of two; at most 16 bytes. What a GPU's thread loads, keeps and stores at
// once (kernels/gpu/elements.cuh), and what a block of random bits gives.
template <class T, int n>
struct alignas(n * sizeof(T)) Group {
  T v[n];
};

}  // namespace qmse
