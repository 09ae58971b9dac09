#include "losses/losses.h"

#include <cmath>
#include <string>

#include "base/in_quotes.h"
#include "losses/cross_entropy.h"
#include "losses/mse.h"
#include "losses/qmse.h"
#include "losses/qmse_expected.h"

namespace qmse {
namespace {

double half(double) { return 0.5; }
double half_and_noise(double classes) { return 0.5 * (1 + 1 / classes); }
double log_of(double classes) { return std::log(classes); }

template <class L>
std::unique_ptr<Loss> make(const LossOptions& options) {
  return std::make_unique<L>(options.reduction);
}
std::unique_ptr<Loss> make_qmse(const LossOptions& options) {
  return std::make_unique<QmseLoss>(options.qmse, options.reduction);
}

}  // namespace

const std::vector<LossKind>& losses() {
  static const std::vector<LossKind> all = {
      {"mse", "MSE", true, {}, false, half, make<MseLoss>},
      {"qmse",
       "QMSE",
       true,
       {"v_distribution", "v_scope", "q_gradient", "seed_v"},
       true,
       half_and_noise,
       make_qmse},
      {"qmse_expected", "QMSE without noise", true, {}, false, half_and_noise, make<QmseExpectedLoss>},
      {"cross_entropy", "cross-entropy", false, {}, false, log_of, make<CrossEntropyLoss>},
  };
  return all;
}

const LossKind* find_loss(std::string_view name) {
  for (const LossKind& kind : losses()) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

std::unique_ptr<Loss> make_loss(std::string_view name, const LossOptions& options) {
  if (const LossKind* kind = find_loss(name)) return kind->make(options);
  std::string known;
  for (const LossKind& kind : losses()) known += (known.empty() ? "" : ", ") + std::string(kind.name);
  throw ConfigError("unknown loss " + in_quotes(name) + "; known: " + known);
}

}  // namespace qmse
