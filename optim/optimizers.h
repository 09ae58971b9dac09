// The optimizers: what a training step needs (engine/optimizer.h), made of a rule (kernels/optimizer_step).
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "engine/optimizer.h"
#include "kernels/optimizer_step/rules.h"

namespace qmse {

template <class Rule>
class RuleOptimizer final : public Optimizer {
 public:
  using Hyper = typename Rule::Hyper;

  // Throws ConfigError where Rule::Hyper does not allow a number.
  RuleOptimizer(ParameterStore& store, const Hyper& hyper);
  std::string_view name() const override { return Rule::kName; }
  const ParameterStore& store() const override { return *store_; }
  void step(const OptimizerInputs& inputs) override;
  std::vector<State> state() const override;

 private:
  ParameterStore* store_;
  Hyper hyper_;
  std::array<Buffer, kMaxOptimizerStates> states_;  // empty where the rule keeps none
};

using Sgd = RuleOptimizer<SgdRule>;
using Adam = RuleOptimizer<AdamRule>;
using Rmsprop = RuleOptimizer<RmspropRule>;
using SgdHyper = SgdRule::Hyper;
using AdamHyper = AdamRule::Hyper;
using RmspropHyper = RmspropRule::Hyper;

// What there is to know of an optimizer without making one.
struct OptimizerKind {
  std::string_view name;                  // "adam", as in settings and files
  std::string_view label;                 // "Adam", for people
  double usual_rate;                      // the learning rate where none is given
  std::vector<std::string_view> options;  // the settings that its numbers are
};

// Every rule's, in the order of kernels/optimizer_step/rules.h.
const std::vector<OptimizerKind>& optimizers();
std::vector<std::string_view> optimizer_names();
// Null for another name.
const OptimizerKind* find_optimizer(std::string_view name);

}  // namespace qmse
