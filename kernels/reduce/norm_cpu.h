// Partial sums of squares on the CPU: shared by sum_of_squares and the optimizers, which take the gradient's
// norm while its chunk is in the cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/ranges.h"
#include "kernels/reduce/reduce.h"

namespace qmse {

// Sum of x[i]^2 in f64 over fixed lanes, so that the compiler may use vectors without changing the order.
template <class T>
inline double chunk_sum_of_squares(const T* x, std::int64_t n) {
  constexpr int kLanes = 16;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = static_cast<double>(x[i + lane]);
      lanes[lane] += value * value;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const double lane : lanes) total += lane;
  return total;
}

// body(begin, end) for every chunk of kNormChunk elements of [0, n), after its partial sum of x[i]^2 was
// taken; *result = the partial sums added in index order.
template <class T, class Body>
void for_norm_chunks(ThreadPool& threads, std::int64_t n, const T* x, double* partials, double* result,
                     const Body& body) {
  constexpr std::int64_t kChunksPerRange = kRangeElements / kNormChunk;
  const std::int64_t chunks = norm_partials(n);
  for_ranges(threads, chunks, kChunksPerRange, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t chunk = first; chunk < last; ++chunk) {
      const std::int64_t begin = chunk * kNormChunk, end = std::min(n, begin + kNormChunk);
      partials[chunk] = chunk_sum_of_squares(x + begin, end - begin);
      body(begin, end);
    }
  });
  double total = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) total += partials[chunk];
  *result = total;
}

}  // namespace qmse
