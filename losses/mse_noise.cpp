#include "losses/mse_noise.h"

#include "engine/with_context.h"
#include "kernels/mse_noise/mse_noise.h"
#include "kernels/residual_loss/rules.h"

namespace qmse {

void MseNoiseLoss::run(Context& context, const LossBatch& batch) const {
  with_context(context, batch.dtype, [&]<class T>(auto& backend) {
    if (batch.step == nullptr) {
      residual_loss<MseRule>(backend, batch.rows<T>(reduction_));
    } else {
      mse_noise_loss(backend, qmse_args<T>(batch, options_, reduction_));
    }
  });
}

}  // namespace qmse
