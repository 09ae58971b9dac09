// The scale of the gradient where it is given apart from that of the loss.
#include <cstdint>
#include <vector>

#include "device/context.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/mse/mse.h"
#include "kernels/qmse/qmse.h"
#include "tests/support/catch.h"
#include "tests/support/row_loss_reference.h"

using namespace qmse;

namespace {

// All scales are powers of two, so that every value is exactly a multiple of the other's.
template <class T, class Loss>
void check_scales(const Loss& loss) {
  CpuContext context(1);
  for (const bool dense : {false, true}) {
    const auto problem = test::random_problem<T>(4, 10, dense, 3, 0.8, 0.5);
    test::RowResults<T> mean, own;
    loss(context, mean.args(problem));
    RowLossArgs<T> args = own.args(problem);
    args.gradient_scale = 2.0;  // the mean's is 0.5 / 4
    loss(context, args);
    CHECK(own.sample_loss == mean.sample_loss);
    for (T& value : mean.gradient) value *= 16;
    CHECK(own.gradient == mean.gradient);
  }
}

}  // namespace

TEST_CASE("row losses: a gradient's own scale leaves the loss alone") {
  check_scales<float>([](CpuContext& context, const RowLossArgs<float>& args) { mse_loss(context, args); });
  check_scales<double>(
      [](CpuContext& context, const RowLossArgs<double>& args) { cross_entropy_loss(context, args); });
  check_scales<float>(
      [](CpuContext& context, const RowLossArgs<float>& args) { qmse_expected_loss(context, args); });
  check_scales<double>([](CpuContext& context, const RowLossArgs<double>& args) {
    const std::uint64_t step = 3;
    const std::vector<std::uint32_t> ids = {4, 1, 0, 9};
    QmseArgs<double> qmse;
    qmse.row = args;
    qmse.step = &step;
    qmse.sample_ids = ids.data();
    qmse_loss(context, qmse);
  });
}
