#include "kernels/mse_noise/mse_noise.h"

#include "kernels/mse_noise/mse_noise_math.h"
#include "kernels/qmse/directed_loss_cpu.h"

namespace qmse {
namespace {

template <class T>
void mse_noise(CpuContext& context, const QmseArgs<T>& args) {
  directed_loss(context, "mse_noise_loss", args, MseNoiseRule{static_cast<std::int32_t>(args.row.classes)});
}

}  // namespace

void mse_noise_loss(CpuContext& context, const QmseArgs<float>& args) { mse_noise(context, args); }
void mse_noise_loss(CpuContext& context, const QmseArgs<double>& args) { mse_noise(context, args); }

}  // namespace qmse
