#include <algorithm>
#include <cstdint>

#include "kernels/cpu/lane_sum.h"
#include "kernels/cpu/ranges.h"
#include "kernels/step_totals/step_totals.h"
#include "kernels/step_totals/step_totals_math.h"

namespace qmse {
namespace {

template <class T>
double sum_of_squares(CpuContext& context, std::int64_t n, const T* x, double* partials) {
  const std::int64_t chunks = flat_chunks(n);
  for_ranges(context.threads(), chunks, kRangeElements / kFlatChunk,
             [=](std::int64_t first, std::int64_t last) {
               for (std::int64_t chunk = first; chunk < last; ++chunk) {
                 const std::int64_t begin = chunk * kFlatChunk;
                 partials[chunk] = lane_sum(std::min(n, begin + kFlatChunk) - begin, [=](std::int64_t i) {
                   const double value = static_cast<double>(x[begin + i]);
                   return value * value;
                 });
               }
             });
  double total = 0;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) total += partials[chunk];
  return total;
}

template <class T>
void totals(CpuContext& context, const StepTotalsArgs<T>& args) {
  auto* const workspace = static_cast<StepTotalsWorkspace*>(args.workspace);
  const double norm_sq =
      sum_of_squares(context, args.n, args.gradients, reinterpret_cast<double*>(workspace + 1));
  SampleSums sums;
  for (std::int64_t i = 0; i < args.batch; ++i) sums.add_sample(args, i);
  add_step(sums, norm_sq, args);
}

}  // namespace

void step_totals(CpuContext& context, const StepTotalsArgs<float>& args) { totals(context, args); }
void step_totals(CpuContext& context, const StepTotalsArgs<double>& args) { totals(context, args); }

}  // namespace qmse
