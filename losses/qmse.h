// The QMSE loss: 1/2 rT Q r a sample, Q = (r + v)(r + v)T, v a random unit vector drawn afresh for every
// sample and step. Evaluation reports its expectation over v.
#pragma once

#include "kernels/qmse/qmse.h"
#include "losses/row_loss_base.h"

namespace qmse {

// The arguments of a kernel that draws v, of a batch.
template <class T>
QmseArgs<T> qmse_args(const LossBatch<T>& batch, const QmseOptions& options) {
  QmseArgs<T> args;
  args.row = batch.row;
  args.options = options;
  args.step = batch.step;
  args.sample_ids = batch.sample_ids;
  args.redraw = batch.redraw;
  args.v = batch.v;
  return args;
}

class QmseLoss final : public RowLoss<QmseLoss> {
 public:
  explicit QmseLoss(const QmseOptions& options = {}, Reduction reduction = Reduction::batch_mean)
      : RowLoss(reduction), options_(options) {}
  std::string_view name() const override { return "qmse"; }
  bool draws_direction() const override { return true; }

  template <class T>
  void run_train(Context& context, const LossBatch<T>& batch) const;
  template <class T>
  void run_evaluate(Context& context, const LossBatch<T>& batch) const;

 private:
  QmseOptions options_;
};

}  // namespace qmse
