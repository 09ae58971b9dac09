// Cross-entropy of softmax. Reduction element_mean has no meaning for it and is a ConfigError.
#pragma once

#include "engine/loss.h"

namespace qmse {

class CrossEntropyLoss final : public Loss {
 public:
  explicit CrossEntropyLoss(Reduction reduction = Reduction::batch_mean);
  std::string_view name() const override { return "cross_entropy"; }
  void run(Context& context, const LossBatch& batch) const override;
};

}  // namespace qmse
