// Mean squared error, 1/2 ||y - f||^2 a sample.
#pragma once

#include "losses/row_loss_base.h"

namespace qmse {

class MseLoss final : public RowLoss<MseLoss> {
 public:
  explicit MseLoss(Reduction reduction = Reduction::batch_mean) : RowLoss(reduction) {}
  std::string_view name() const override { return "mse"; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const;
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const;
};

}  // namespace qmse
