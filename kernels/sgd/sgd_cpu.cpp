#include <cstdint>

#include "kernels/core/ranges.h"
#include "kernels/reduce/reduce_math.h"
#include "kernels/sgd/sgd.h"
#include "kernels/sgd/sgd_math.h"

namespace qmse {
namespace {

// Out of line and without aliases, so that the loop is one stream of vectors.
template <bool with_momentum, class T>
void update_range(const SgdRule<T> rule, std::int64_t n, const T* __restrict gradients, T* __restrict weights,
                  T* __restrict momenta) {
  for (std::int64_t i = 0; i < n; ++i) {
    if constexpr (with_momentum) {
      rule.template update<true>(gradients[i], weights[i], momenta[i]);
    } else {
      T unused = T(0);
      rule.template update<false>(gradients[i], weights[i], unused);
    }
  }
}

template <class T>
void step(CpuContext& context, const SgdHyper& hyper, const SgdArgs<T>& args) {
  sum_of_squares(context, args.n, args.gradients, args.partials, args.gradient_norm_sq);
  if (halted(args.halt, *args.gradient_norm_sq)) return;
  const SgdRule<T> rule(hyper, *args.learning_rate);
  const bool with_momentum = hyper.momentum != 0;
  const auto update = with_momentum ? update_range<true, T> : update_range<false, T>;
  for_ranges(context.threads(), args.n, kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    update(rule, end - begin, args.gradients + begin, args.weights + begin,
           with_momentum ? args.momenta + begin : nullptr);
  });
}

}  // namespace

void sgd_step(CpuContext& context, const SgdHyper& hyper, const SgdArgs<float>& args) {
  step(context, hyper, args);
}
void sgd_step(CpuContext& context, const SgdHyper& hyper, const SgdArgs<double>& args) {
  step(context, hyper, args);
}

}  // namespace qmse
