// What every loss over rows of outputs shares: the reduction, and one template for both dtypes. A loss
// derives from RowLoss<itself> and defines run_train<T> and run_evaluate<T>; see docs/extending.md.
#pragma once

#include "engine/loss.h"

namespace qmse {

template <class Derived>
class RowLoss : public Loss {
 public:
  explicit RowLoss(Reduction reduction) : reduction_(reduction) {}

  void train(Context& context, const LossBatch<float>& batch) const final { do_train(context, batch); }
  void train(Context& context, const LossBatch<double>& batch) const final { do_train(context, batch); }
  void evaluate(Context& context, const LossBatch<float>& batch) const final { do_evaluate(context, batch); }
  void evaluate(Context& context, const LossBatch<double>& batch) const final { do_evaluate(context, batch); }

 private:
  template <class T>
  LossBatch<T> scaled(LossBatch<T> batch) const {
    batch.row.scale = scale_of(reduction_, batch.row.classes);
    return batch;
  }
  template <class T>
  void do_train(Context& context, const LossBatch<T>& batch) const {
    static_cast<const Derived*>(this)->run_train(context, scaled(batch));
  }
  template <class T>
  void do_evaluate(Context& context, const LossBatch<T>& batch) const {
    static_cast<const Derived*>(this)->run_evaluate(context, scaled(batch));
  }

  Reduction reduction_;
};

}  // namespace qmse
