#include <algorithm>
#include <atomic>
#include <cstdint>

#include "kernels/cpu/ranges.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/reduce_math.h"

namespace qmse {
namespace {

template <class T>
void add_elements(CpuContext& context, std::int64_t n, const T* x, T* y) {
  for_ranges(context.threads(), n, kRangeElements, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] += x[i];
  });
}

template <class T>
std::int64_t first_non_finite_of(const T* x, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kBlock = 256;  // without an exit inside, so that it is done in vectors
  for (std::int64_t block = begin; block < end; block += kBlock) {
    const std::int64_t block_end = std::min(end, block + kBlock);
    int non_finite = 0;
    for (std::int64_t i = block; i < block_end; ++i) non_finite |= is_finite(x[i]) ? 0 : 1;
    if (non_finite == 0) continue;
    for (std::int64_t i = block; i < block_end; ++i) {
      if (!is_finite(x[i])) return i;
    }
  }
  return end;
}

template <class T>
void find_first_non_finite(CpuContext& context, std::int64_t n, const T* x, std::int64_t* index) {
  *index = n;
  std::atomic_ref<std::int64_t> first(*index);
  for_ranges(context.threads(), n, kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t found = first_non_finite_of(x, begin, end);
    if (found == end) return;
    std::int64_t known = first.load();
    while (found < known && !first.compare_exchange_weak(known, found)) {
    }
  });
}

}  // namespace

void add(CpuContext& context, std::int64_t n, const float* x, float* y) { add_elements(context, n, x, y); }
void add(CpuContext& context, std::int64_t n, const double* x, double* y) { add_elements(context, n, x, y); }

void first_non_finite(CpuContext& context, std::int64_t n, const float* x, std::int64_t* index) {
  find_first_non_finite(context, n, x, index);
}
void first_non_finite(CpuContext& context, std::int64_t n, const double* x, std::int64_t* index) {
  find_first_non_finite(context, n, x, index);
}

}  // namespace qmse
