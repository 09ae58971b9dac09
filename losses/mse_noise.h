// MSE with the noise of QMSE (kernels/mse_noise): the step is MSE's in expectation and has QMSE's covariance.
// Evaluation reports MSE.
#pragma once

#include "kernels/qmse/qmse.h"
#include "losses/row_loss_base.h"

namespace qmse {

class MseNoiseLoss final : public RowLoss<MseNoiseLoss> {
 public:
  explicit MseNoiseLoss(const QmseOptions& options = {}, Reduction reduction = Reduction::batch_mean)
      : RowLoss(reduction), options_(options) {}
  std::string_view name() const override { return "mse_noise"; }
  bool draws_direction() const override { return true; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const;
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const;

 private:
  QmseOptions options_;
};

}  // namespace qmse
