// Every loss there is: what options, files, help, reports and warnings know of one.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/loss.h"
#include "kernels/qmse/qmse.h"

namespace qmse {

// The losses' options; each looks at those it has.
struct LossOptions {
  Reduction reduction = Reduction::batch_mean;
  QmseOptions qmse;
};

struct LossKind {
  std::string_view name;                  // as in settings and files
  std::string_view label;                 // for people
  bool squared_error;                     // of y - f: it has both reductions; another has batch_mean alone
  std::vector<std::string_view> options;  // the settings that have an effect with it alone
  // Whether it draws random numbers: then it has a seed, and the step makes a difference.
  bool draws;
  // Its value a sample where all c outputs are 0 and the target is one-hot; QMSE's is its expectation.
  double (*value_of_zeros)(double classes);
  std::unique_ptr<Loss> (*make)(const LossOptions&);
};

const std::vector<LossKind>& losses();
// Null for another name.
const LossKind* find_loss(std::string_view name);
// ConfigError for another name, and for a reduction that the loss does not have.
std::unique_ptr<Loss> make_loss(std::string_view name, const LossOptions& options);

}  // namespace qmse
