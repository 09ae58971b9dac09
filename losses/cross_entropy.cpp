#include "losses/cross_entropy.h"

#include "engine/with_context.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace qmse {

CrossEntropyLoss::CrossEntropyLoss(Reduction reduction) : RowLoss(reduction) {
  if (reduction == Reduction::element_mean) {
    throw ConfigError("reduction element_mean does not go with the loss cross_entropy; use batch_mean");
  }
}

template <class T>
void CrossEntropyLoss::run_train(Context& context, const LossBatch<T>& batch) const {
  with_context<T>(context, [&](auto& backend) { cross_entropy_loss(backend, batch.row); });
}

template <class T>
void CrossEntropyLoss::run_evaluate(Context& context, const LossBatch<T>& batch) const {
  run_train(context, batch);
}

template void CrossEntropyLoss::run_train(Context&, const LossBatch<float>&) const;
template void CrossEntropyLoss::run_train(Context&, const LossBatch<double>&) const;
template void CrossEntropyLoss::run_evaluate(Context&, const LossBatch<float>&) const;
template void CrossEntropyLoss::run_evaluate(Context&, const LossBatch<double>&) const;

}  // namespace qmse
