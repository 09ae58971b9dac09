#include "optim/optimizers.h"

#include <iterator>
#include <string>

#include "base/words.h"
#include "engine/with_context.h"

namespace qmse {

template <class Rule>
RuleOptimizer<Rule>::RuleOptimizer(ParameterStore& store, const Hyper& hyper)
    : store_(&store), hyper_(hyper) {
  static_assert(std::size(Rule::kStates) <= kMaxOptimizerStates);
  with_dtype(store.dtype(), [&]<class T>() { Rule::template validate<T>(hyper); });
  MemoryResource& memory = store.context().memory();
  const std::size_t bytes = static_cast<std::size_t>(store.flat_size()) * size_of(store.dtype());
  for (unsigned k = 0; k < std::size(Rule::kStates); ++k) {
    if ((Rule::kept(hyper) >> k & 1) == 0) continue;
    states_[k] = Buffer(memory, bytes, std::string(Rule::kName) + "'s " + Rule::kStates[k]);
    fill_zero(store.context(), states_[k].data(), bytes);
  }
}

template <class Rule>
void RuleOptimizer<Rule>::step(const OptimizerInputs& inputs) {
  with_context(store_->context(), store_->dtype(), [&]<class T>(auto& backend) {
    OptimizerArgs<T> args;
    args.n = store_->flat_size();
    args.weights = static_cast<T*>(store_->weights());
    args.gradients = static_cast<const T*>(store_->gradients());
    for (std::size_t k = 0; k < states_.size(); ++k) args.states[k] = states_[k].template as<T>();
    args.step = inputs.step;
    args.learning_rate = inputs.learning_rate;
    args.held = inputs.held;
    optimizer_step<Rule>(backend, hyper_, args);
  });
}

template <class Rule>
std::vector<Optimizer::State> RuleOptimizer<Rule>::state() const {
  std::vector<State> kept;
  for (std::size_t k = 0; k < std::size(Rule::kStates); ++k) {
    if (states_[k].data() != nullptr) kept.push_back({Rule::kStates[k], states_[k].data()});
  }
  return kept;
}

namespace {

template <class Rule>
OptimizerKind kind_of() {
  OptimizerKind kind{Rule::kName, Rule::kLabel, Rule::kUsualRate, {}};
  const typename Rule::Hyper hyper;
  Rule::options(hyper, [&](std::string_view option, auto) { kind.options.push_back(option); });
  return kind;
}

}  // namespace

const std::vector<OptimizerKind>& optimizers() {
#define QMSE_KIND(Rule) kind_of<Rule>(),
  static const std::vector<OptimizerKind> all = {QMSE_OPTIMIZER_RULES(QMSE_KIND)};
#undef QMSE_KIND
  return all;
}

std::vector<std::string_view> optimizer_names() {
  std::vector<std::string_view> names;
  for (const OptimizerKind& kind : optimizers()) names.push_back(kind.name);
  return names;
}

const OptimizerKind* find_optimizer(std::string_view name) { return find_named(optimizers(), name); }

#define QMSE_INSTANTIATE(Rule) template class RuleOptimizer<Rule>;
QMSE_OPTIMIZER_RULES(QMSE_INSTANTIATE)
#undef QMSE_INSTANTIATE

}  // namespace qmse
