// MSE with the noise of QMSE (kernels/mse_noise): the step is MSE's in expectation and has QMSE's covariance.
// Without a step, as in evaluation, MSE.
#pragma once

#include "losses/qmse.h"

namespace qmse {

class MseNoiseLoss final : public RandomDirectionLoss {
 public:
  using RandomDirectionLoss::RandomDirectionLoss;
  std::string_view name() const override { return "mse_noise"; }
  void run(Context& context, const LossBatch& batch) const override;
};

}  // namespace qmse
