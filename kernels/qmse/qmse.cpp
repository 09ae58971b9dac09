#include "kernels/qmse/qmse.h"

#include "base/error.h"

namespace qmse {

template <class T>
void check_qmse_args(const QmseArgs<T>& args) {
  check_row_loss_args("qmse_loss", args.row);
  if (args.step == nullptr) throw ShapeError("qmse_loss: step must point to the training step");
  if (args.options.scope == DirectionScope::per_sample && args.sample_ids == nullptr) {
    throw ShapeError("qmse_loss: a direction per sample needs sample_ids");
  }
}

template void check_qmse_args(const QmseArgs<float>&);
template void check_qmse_args(const QmseArgs<double>&);

}  // namespace qmse
