#include "losses/qmse_expected.h"

#include "engine/with_context.h"
#include "kernels/qmse/qmse.h"

namespace qmse {

template <class T>
void QmseExpectedLoss::run_train(Context& context, const LossBatch<T>& batch) const {
  with_context<T>(context, [&](auto& backend) { qmse_expected_loss(backend, batch.row); });
}

template <class T>
void QmseExpectedLoss::run_evaluate(Context& context, const LossBatch<T>& batch) const {
  run_train(context, batch);
}

template void QmseExpectedLoss::run_train(Context&, const LossBatch<float>&) const;
template void QmseExpectedLoss::run_train(Context&, const LossBatch<double>&) const;
template void QmseExpectedLoss::run_evaluate(Context&, const LossBatch<float>&) const;
template void QmseExpectedLoss::run_evaluate(Context&, const LossBatch<double>&) const;

}  // namespace qmse
