#include "losses/mse.h"

#include "engine/with_context.h"
#include "kernels/mse/mse.h"

namespace qmse {

template <class T>
void MseLoss::run_train(Context& context, const LossBatch<T>& batch) const {
  with_context<T>(context, [&](auto& backend) { mse_loss(backend, batch.row); });
}

template <class T>
void MseLoss::run_evaluate(Context& context, const LossBatch<T>& batch) const {
  run_train(context, batch);
}

template void MseLoss::run_train(Context&, const LossBatch<float>&) const;
template void MseLoss::run_train(Context&, const LossBatch<double>&) const;
template void MseLoss::run_evaluate(Context&, const LossBatch<float>&) const;
template void MseLoss::run_evaluate(Context&, const LossBatch<double>&) const;

}  // namespace qmse
