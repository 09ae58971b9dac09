#include "losses/losses.h"

#include <cmath>
#include <string>

#include "base/in_quotes.h"
#include "base/words.h"
#include "losses/cross_entropy.h"
#include "losses/mse_noise.h"
#include "losses/qmse.h"
#include "losses/residual_loss.h"

namespace qmse {
namespace {

double log_of(double classes) { return std::log(classes); }

template <class L>
std::unique_ptr<Loss> make(const LossOptions& options) {
  return std::make_unique<L>(options.reduction);
}
template <class Rule>
LossKind rule() {
  return {Rule::kName, Rule::kLabel, true, {}, false, Rule::value_of_zeros, make<ResidualLoss<Rule>>};
}
template <class L>
std::unique_ptr<Loss> make_drawing(const LossOptions& options) {
  return std::make_unique<L>(options.qmse, options.reduction);
}

}  // namespace

const std::vector<LossKind>& losses() {
#define QMSE_RULE(Rule) rule<Rule>(),
  static const std::vector<LossKind> all = {
      QMSE_RESIDUAL_LOSSES(QMSE_RULE)  //
      {"qmse",
       "QMSE",
       true,
       {"v_distribution", "v_scope", "q_gradient", "v_resample", "seed_v"},
       true,
       QmseExpectedRule::value_of_zeros,
       make_drawing<QmseLoss>},
      {"mse_noise",
       "MSE with QMSE’s noise",
       true,
       {"v_distribution", "v_scope", "v_resample", "seed_v"},
       true,
       MseRule::value_of_zeros,
       make_drawing<MseNoiseLoss>},
      {"cross_entropy", "cross-entropy", false, {}, false, log_of, make<CrossEntropyLoss>},
  };
#undef QMSE_RULE
  return all;
}

const LossKind* find_loss(std::string_view name) { return find_named(losses(), name); }

std::unique_ptr<Loss> make_loss(std::string_view name, const LossOptions& options) {
  if (const LossKind* kind = find_loss(name)) return kind->make(options);
  throw ConfigError("unknown loss " + in_quotes(name) + "; known: " + join(names_of(losses()), ", "));
}

}  // namespace qmse
