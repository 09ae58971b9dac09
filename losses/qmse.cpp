#include "losses/qmse.h"

#include "engine/with_context.h"
#include "kernels/residual_loss/rules.h"

namespace qmse {

void QmseLoss::run(Context& context, const LossBatch& batch) const {
  with_context(context, batch.dtype, [&]<class T>(auto& backend) {
    if (batch.step == nullptr) {
      residual_loss<QmseExpectedRule>(backend, batch.rows<T>(reduction_));
    } else {
      qmse_loss(backend, qmse_args<T>(batch, options_, reduction_));
    }
  });
}

}  // namespace qmse
