#include "bench/kernels/cases.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/qmse/qmse.h"
#include "kernels/residual_loss/rules.h"

namespace qmse::bench {
namespace {

struct LossShape {
  std::int64_t batch, classes;
};

RowLossArgs<float> make_rows(Arrays& arrays, const LossShape& shape, bool dense) {
  RowLossArgs<float> args;
  args.batch = shape.batch;
  args.classes = shape.classes;
  const std::int64_t outputs = shape.batch * shape.classes;
  args.output = arrays.floats(outputs);
  if (dense) {
    args.targets = arrays.floats(outputs);
  } else {
    args.labels = arrays.labels(shape.batch, shape.classes);
  }
  args.gradient = arrays.zeros<float>(outputs);
  args.sample_loss = arrays.zeros<float>(shape.batch);
  args.residual_sq = arrays.zeros<float>(shape.batch);
  args.correct = arrays.zeros<std::int32_t>(shape.batch);
  const std::size_t workspace = row_loss_workspace_bytes(shape.batch, shape.classes);
  if (workspace > 0) args.workspace = arrays.zeros<char>(static_cast<std::int64_t>(workspace));
  return args;
}

Work qmse_work(CudaContext& context, Arrays& arrays, const LossShape& shape, bool dense,
               DirectionDistribution distribution, LongRowsBy long_rows = LongRowsBy::shape) {
  QmseArgs<float> args;
  args.row = make_rows(arrays, shape, dense);
  args.row.long_rows = long_rows;
  args.options.distribution = distribution;
  args.options.seed = 1;
  args.step = arrays.zeros<std::uint64_t>(1);
  args.sample_ids = arrays.indices(shape.batch);
  return [&context, args] { qmse_loss(context, args); };
}

// Per row: label 4 bytes, sample id 4 (QMSE), loss, residual and correctness 12.
KernelCase loss_case(const std::string& name, const LossShape& shape, bool dense, bool draws,
                     std::function<Work(CudaContext&, Arrays&)> make) {
  KernelCase result;
  result.operation = name + (dense ? " dense" : " labels");
  result.shape = std::to_string(shape.batch) + " x " + std::to_string(shape.classes);
  const std::int64_t row = 12 + (dense ? 0 : 4) + (draws ? 4 : 0);
  result.formula = std::string(dense ? "12" : "8") + " B c + " + std::to_string(row) + " B";
  result.bytes = shape.batch * ((dense ? 12 : 8) * shape.classes + row);
  result.make = std::move(make);
  return result;
}

void add_losses(std::vector<KernelCase>& cases, const LossShape& shape, bool dense) {
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    const std::string name =
        distribution == DirectionDistribution::sphere ? "qmse sphere" : "qmse rademacher";
    cases.push_back(loss_case(name, shape, dense, true, [=](CudaContext& context, Arrays& arrays) {
      return qmse_work(context, arrays, shape, dense, distribution);
    }));
  }
  cases.push_back(loss_case("mse", shape, dense, false, [=](CudaContext& context, Arrays& arrays) -> Work {
    return [&context, args = make_rows(arrays, shape, dense)] { residual_loss<MseRule>(context, args); };
  }));
  cases.push_back(
      loss_case("cross_entropy", shape, dense, false, [=](CudaContext& context, Arrays& arrays) -> Work {
        return [&context, args = make_rows(arrays, shape, dense)] { cross_entropy_loss(context, args); };
      }));
  cases.push_back(
      loss_case("qmse expected", shape, dense, false, [=](CudaContext& context, Arrays& arrays) -> Work {
        return [&context, args = make_rows(arrays, shape, dense)] {
          residual_loss<QmseExpectedRule>(context, args);
        };
      }));
}

}  // namespace

std::vector<KernelCase> loss_cases() {
  std::vector<KernelCase> cases;
  for (const std::int64_t batch : {64, 256, 1024, 4096}) add_losses(cases, {batch, 10}, false);
  // Rows for a warp, for a block, and for several; 1001 breaks the alignment of rows.
  constexpr LossShape kLong = {256, 1000000};
  constexpr LossShape kLarge[] = {{4096, 1000},  {65536, 100}, {65536, 1000},
                                  {65536, 1001}, {8192, 8192}, kLong};
  for (const LossShape& shape : kLarge) {
    for (const bool dense : {false, true}) add_losses(cases, shape, dense);
  }
  for (const bool dense : {false, true}) {
    cases.push_back(
        loss_case("qmse sphere read twice", kLong, dense, true, [=](CudaContext& context, Arrays& arrays) {
          return qmse_work(context, arrays, kLong, dense, DirectionDistribution::sphere,
                           LongRowsBy::reading_twice);
        }));
  }
  return cases;
}

}  // namespace qmse::bench
