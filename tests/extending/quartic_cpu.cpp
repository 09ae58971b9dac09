#include "kernels/row_loss/row_loss_cpu.h"
#include "tests/extending/quartic.h"
#include "tests/extending/quartic_math.h"

namespace example {

void quartic_loss(qmse::CpuContext& context, const qmse::RowLossArgs<float>& args) {
  qmse::residual_loss(context, "quartic_loss", args, quartic_formula(args.classes));
}
void quartic_loss(qmse::CpuContext& context, const qmse::RowLossArgs<double>& args) {
  qmse::residual_loss(context, "quartic_loss", args, quartic_formula(args.classes));
}

}  // namespace example
