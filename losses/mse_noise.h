// MSE with the noise of QMSE (kernels/mse_noise): the step is MSE's in expectation and has QMSE's covariance.
// Without a step, as in evaluation, MSE.
#pragma once

#include "engine/loss.h"
#include "kernels/qmse/qmse.h"

namespace qmse {

class MseNoiseLoss final : public Loss {
 public:
  explicit MseNoiseLoss(const QmseOptions& options = {}, Reduction reduction = Reduction::batch_mean)
      : options_(options), reduction_(reduction) {}
  std::string_view name() const override { return "mse_noise"; }
  void run(Context& context, const LossBatch& batch) const override;
  std::vector<std::string_view> details() const override { return {"residual", "v"}; }

 private:
  QmseOptions options_;
  Reduction reduction_;
};

}  // namespace qmse
