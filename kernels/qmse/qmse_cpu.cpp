#include "kernels/qmse/directed_loss_cpu.h"
#include "kernels/qmse/qmse_math.h"

namespace qmse {
namespace {

template <class T>
void qmse(CpuContext& context, const QmseArgs<T>& args) {
  directed_loss(context, "qmse_loss", args,
                QmseRule{qmse_residual_multiple<float>(args.options.q_gradient == QGradient::full)});
}

}  // namespace

void qmse_loss(CpuContext& context, const QmseArgs<float>& args) { qmse(context, args); }
void qmse_loss(CpuContext& context, const QmseArgs<double>& args) { qmse(context, args); }

}  // namespace qmse
