// Cross-entropy of softmax. Reduction element_mean has no meaning for it and is a ConfigError.
#pragma once

#include "losses/row_loss_base.h"

namespace qmse {

class CrossEntropyLoss final : public RowLoss<CrossEntropyLoss> {
 public:
  explicit CrossEntropyLoss(Reduction reduction = Reduction::batch_mean);
  std::string_view name() const override { return "cross_entropy"; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const;
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const;
};

}  // namespace qmse
