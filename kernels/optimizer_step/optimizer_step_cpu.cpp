#include "kernels/optimizer_step/optimizer_step.h"

#include "kernels/cpu/ranges.h"
#include "kernels/optimizer_step/rules.h"

namespace qmse {
namespace {

// Out of line and without aliases, so that the loop is one stream of vectors. States that are not kept
// are null.
template <class Rule, unsigned kept, class T>
void update_range(const typename Rule::template Step<T> step, std::int64_t n, const T* __restrict gradients,
                  T* __restrict weights, T* __restrict first, T* __restrict second, T* __restrict third) {
  for (std::int64_t i = 0; i < n; ++i) {
    T states[kMaxOptimizerStates] = {};
    if constexpr ((kept & 1) != 0) states[0] = first[i];
    if constexpr ((kept & 2) != 0) states[1] = second[i];
    if constexpr ((kept & 4) != 0) states[2] = third[i];
    step.template update<kept>(gradients[i], weights[i], states);
    if constexpr ((kept & 1) != 0) first[i] = states[0];
    if constexpr ((kept & 2) != 0) second[i] = states[1];
    if constexpr ((kept & 4) != 0) third[i] = states[2];
  }
}

template <class Rule, class T>
using UpdateRange = decltype(&update_range<Rule, 0, T>);

template <class Rule, class T, unsigned... sets>
UpdateRange<Rule, T> choose_update(unsigned kept, KeptStates<sets...>) {
  UpdateRange<Rule, T> chosen = nullptr;
  ((chosen = kept == sets ? update_range<Rule, sets, T> : chosen), ...);
  return chosen;
}

}  // namespace

template <class Rule, class T>
void optimizer_step(CpuContext& context, const typename Rule::Hyper& hyper, const OptimizerArgs<T>& args) {
  if (args.is_held()) return;
  const typename Rule::template Step<T> step(hyper, *args.learning_rate, *args.step);
  const unsigned kept = Rule::kept(hyper);
  const auto update = choose_update<Rule, T>(kept, typename Rule::Kept());
  const auto state = [&](unsigned k, std::int64_t begin) {
    return (kept >> k & 1) != 0 ? args.states[k] + begin : nullptr;
  };
  for_ranges(context.threads(), args.n, kRangeElements, [&](std::int64_t begin, std::int64_t end) {
    update(step, end - begin, args.gradients + begin, args.weights + begin, state(0, begin), state(1, begin),
           state(2, begin));
  });
}

#define QMSE_INSTANTIATE(Rule)                                                                      \
  template void optimizer_step<Rule>(CpuContext&, const Rule::Hyper&, const OptimizerArgs<float>&); \
  template void optimizer_step<Rule>(CpuContext&, const Rule::Hyper&, const OptimizerArgs<double>&);
QMSE_OPTIMIZER_RULES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
