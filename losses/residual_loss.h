// The losses that are rules (kernels/residual_loss): MSE, QMSE without noise and the rest of the list.
#pragma once

#include "engine/with_context.h"
#include "kernels/residual_loss/rules.h"
#include "losses/row_loss_base.h"

namespace qmse {

template <class Rule>
class ResidualLoss final : public RowLoss<ResidualLoss<Rule>> {
 public:
  explicit ResidualLoss(Reduction reduction = Reduction::batch_mean)
      : RowLoss<ResidualLoss<Rule>>(reduction) {}
  std::string_view name() const override { return Rule::kName; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const {
    with_context<T>(context, [&](auto& backend) { residual_loss<Rule>(backend, batch.row); });
  }
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const {
    run_train(context, batch);
  }
};

using MseLoss = ResidualLoss<MseRule>;
using QmseExpectedLoss = ResidualLoss<QmseExpectedRule>;

}  // namespace qmse
