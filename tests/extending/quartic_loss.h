// The quartic loss, ready for a training loop.
#pragma once

#include "engine/with_context.h"
#include "losses/row_loss_base.h"
#include "tests/extending/quartic.h"

namespace example {

class QuarticLoss final : public qmse::RowLoss<QuarticLoss> {
 public:
  explicit QuarticLoss(qmse::Reduction reduction = qmse::Reduction::batch_mean) : RowLoss(reduction) {}
  std::string_view name() const override { return "quartic"; }

  template <class T>
  void run_train(qmse::Context& context, const qmse::LossBatch<T>& batch) const {
    qmse::with_context<T>(context, [&](auto& backend) { quartic_loss(backend, batch.row); });
  }
  template <class T>
  void run_evaluate(qmse::Context& context, const qmse::LossBatch<T>& batch) const {
    run_train(context, batch);
  }
};

}  // namespace example
