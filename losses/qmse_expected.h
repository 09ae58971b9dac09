// QMSE without its noise: value 1/2 (||r||^4 + ||r||^2 / c) and gradient -(||r||^2 + 1/c) r a sample, the
// expectations over v of QMSE's value and of its gradient with constant Q. So it is MSE with each sample
// weighted by ||r||^2 + 1/c, the weight not differentiated (docs/theory.md).
#pragma once

#include "losses/row_loss_base.h"

namespace qmse {

class QmseExpectedLoss final : public RowLoss<QmseExpectedLoss> {
 public:
  explicit QmseExpectedLoss(Reduction reduction = Reduction::batch_mean) : RowLoss(reduction) {}
  std::string_view name() const override { return "qmse_expected"; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const;
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const;
};

}  // namespace qmse
