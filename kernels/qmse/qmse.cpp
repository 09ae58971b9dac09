#include "kernels/qmse/qmse.h"

#include <string>

#include "base/error.h"

namespace qmse {

template <class T>
void check_qmse_args(const char* name, const QmseArgs<T>& args) {
  check_row_loss_args(name, args.row);
  if (args.step == nullptr) throw ShapeError(std::string(name) + ": step must point to the training step");
  if (args.options.scope == DirectionScope::per_sample && args.sample_ids == nullptr) {
    throw ShapeError(std::string(name) + ": a direction per sample needs sample_ids");
  }
}

template void check_qmse_args(const char*, const QmseArgs<float>&);
template void check_qmse_args(const char*, const QmseArgs<double>&);

}  // namespace qmse
