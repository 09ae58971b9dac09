// The losses that are rules (kernels/residual_loss): MSE, QMSE without noise and the rest of the list.
#pragma once

#include "engine/loss.h"
#include "engine/with_context.h"
#include "kernels/residual_loss/rules.h"

namespace qmse {

template <class Rule>
class ResidualLoss final : public Loss {
 public:
  explicit ResidualLoss(Reduction reduction = Reduction::batch_mean) : reduction_(reduction) {}
  std::string_view name() const override { return Rule::kName; }
  void run(Context& context, const LossBatch& batch) const override {
    with_context(context, batch.dtype,
                 [&]<class T>(auto& backend) { residual_loss<Rule>(backend, batch.rows<T>(reduction_)); });
  }

 private:
  Reduction reduction_;
};

using MseLoss = ResidualLoss<MseRule>;
using QmseExpectedLoss = ResidualLoss<QmseExpectedRule>;

}  // namespace qmse
