#include "losses/qmse.h"
#include "engine/with_context.h"

#include "kernels/residual_loss/rules.h"

namespace qmse {

template <class T>
void QmseLoss::run_train(Context& context, const LossBatch<T>& batch) const {
  const QmseArgs<T> args = qmse_args(batch, options_);
  with_context<T>(context, [&](auto& backend) { qmse_loss(backend, args); });
}

template <class T>
void QmseLoss::run_evaluate(Context& context, const LossBatch<T>& batch) const {
  with_context<T>(context, [&](auto& backend) { residual_loss<QmseExpectedRule>(backend, batch.row); });
}

template void QmseLoss::run_train(Context&, const LossBatch<float>&) const;
template void QmseLoss::run_train(Context&, const LossBatch<double>&) const;
template void QmseLoss::run_evaluate(Context&, const LossBatch<float>&) const;
template void QmseLoss::run_evaluate(Context&, const LossBatch<double>&) const;

}  // namespace qmse
