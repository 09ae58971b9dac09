#include "losses/cross_entropy.h"

#include "engine/with_context.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace qmse {

CrossEntropyLoss::CrossEntropyLoss(Reduction reduction) {
  if (reduction == Reduction::element_mean) {
    throw ConfigError("reduction element_mean does not go with the loss cross_entropy; use batch_mean");
  }
}

void CrossEntropyLoss::run(Context& context, const LossBatch& batch) const {
  with_context(context, batch.dtype, [&]<class T>(auto& backend) {
    cross_entropy_loss(backend, batch.rows<T>(Reduction::batch_mean));
  });
}

}  // namespace qmse
