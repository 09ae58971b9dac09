#include <cstdint>

#include "kernels/adam/adam.h"
#include "kernels/adam/adam_math.h"
#include "kernels/core/ranges.h"
#include "kernels/reduce/reduce_math.h"

namespace qmse {
namespace {

// Out of line and without aliases, so that the loop is one stream of vectors.
template <class T>
void update_range(const AdamRule<T> rule, std::int64_t n, const T* __restrict gradients,
                  T* __restrict weights, T* __restrict first_moments, T* __restrict second_moments) {
  for (std::int64_t i = 0; i < n; ++i) {
    rule.update(gradients[i], weights[i], first_moments[i], second_moments[i]);
  }
}

template <class T>
void step(CpuContext& context, const AdamHyper& hyper, const AdamArgs<T>& args) {
  sum_of_squares(context, args.n, args.gradients, args.partials, args.gradient_norm_sq);
  if (halted(args.halt, *args.gradient_norm_sq)) return;
  const AdamRule<T> rule(hyper, *args.learning_rate, *args.step);
  for_ranges(context.threads(), args.n, kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    update_range(rule, end - begin, args.gradients + begin, args.weights + begin, args.first_moments + begin,
                 args.second_moments + begin);
  });
}

}  // namespace

void adam_step(CpuContext& context, const AdamHyper& hyper, const AdamArgs<float>& args) {
  step(context, hyper, args);
}
void adam_step(CpuContext& context, const AdamHyper& hyper, const AdamArgs<double>& args) {
  step(context, hyper, args);
}

}  // namespace qmse
