#include "losses/mse_noise.h"

#include "engine/with_context.h"
#include "kernels/mse_noise/mse_noise.h"
#include "kernels/residual_loss/rules.h"
#include "losses/qmse.h"

namespace qmse {

template <class T>
void MseNoiseLoss::run_train(Context& context, const LossBatch<T>& batch) const {
  const QmseArgs<T> args = qmse_args(batch, options_);
  with_context<T>(context, [&](auto& backend) { mse_noise_loss(backend, args); });
}

template <class T>
void MseNoiseLoss::run_evaluate(Context& context, const LossBatch<T>& batch) const {
  with_context<T>(context, [&](auto& backend) { residual_loss<MseRule>(backend, batch.row); });
}

template void MseNoiseLoss::run_train(Context&, const LossBatch<float>&) const;
template void MseNoiseLoss::run_train(Context&, const LossBatch<double>&) const;
template void MseNoiseLoss::run_evaluate(Context&, const LossBatch<float>&) const;
template void MseNoiseLoss::run_evaluate(Context&, const LossBatch<double>&) const;

}  // namespace qmse
