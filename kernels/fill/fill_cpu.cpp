#include <algorithm>

#include "kernels/fill/fill.h"

namespace qmse {
namespace {

template <class T>
void fill_in_parallel(CpuContext& context, std::int64_t n, T value, T* x) {
  constexpr std::int64_t chunk = 1 << 16;  // large enough that handing out a task costs nothing beside it
  context.threads().run((n + chunk - 1) / chunk, [&](std::int64_t task, int) {
    const std::int64_t begin = task * chunk;
    std::fill(x + begin, x + std::min(n, begin + chunk), value);
  });
}

}  // namespace

void fill(CpuContext& context, std::int64_t n, float value, float* x) {
  fill_in_parallel(context, n, value, x);
}
void fill(CpuContext& context, std::int64_t n, double value, double* x) {
  fill_in_parallel(context, n, value, x);
}

}  // namespace qmse
