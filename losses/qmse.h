// The QMSE loss: 1/2 rT Q r a sample, Q = (r + v)(r + v)T, v a random unit vector drawn afresh for every
// sample and step. Without a step, as in evaluation, its expectation over v.
#pragma once

#include "engine/loss.h"
#include "kernels/qmse/qmse.h"

namespace qmse {

// The arguments of a kernel that draws v.
template <class T>
QmseArgs<T> qmse_args(const LossBatch& batch, const QmseOptions& options, Reduction reduction) {
  QmseArgs<T> args;
  args.row = batch.rows<T>(reduction);
  args.options = options;
  args.step = batch.step;
  args.sample_ids = batch.sample_ids;
  args.redraw = batch.redraw;
  args.v = batch.detail<T>("v");
  return args;
}

// What losses that draw v have in common.
class RandomDirectionLoss : public Loss {
 public:
  explicit RandomDirectionLoss(const QmseOptions& options = {}, Reduction reduction = Reduction::batch_mean)
      : options_(options), reduction_(reduction) {}
  std::vector<std::string_view> details() const final { return {"residual", "v"}; }

 protected:
  QmseOptions options_;
  Reduction reduction_;
};

class QmseLoss final : public RandomDirectionLoss {
 public:
  using RandomDirectionLoss::RandomDirectionLoss;
  std::string_view name() const override { return "qmse"; }
  void run(Context& context, const LossBatch& batch) const override;
};

}  // namespace qmse
