// The smallest loss that kernels/row_loss takes: the mean of the residuals, whose gradient is the same for
// all outputs.
#include <cstdint>
#include <vector>

#include "kernels/row_loss/row_loss.cuh"
#include "tests/simt/executor.h"
#include "tests/support/catch.h"

namespace {

using namespace qmse;
using namespace qmse::device;

struct MeanResidual {
  static constexpr bool kDirection = false;
  static constexpr bool kRedraws = false;

  struct Sums {
    float residual = 0;
    float residual_sq = 0;
    __device__ void merge(const Sums& other) {
      residual += other.residual;
      residual_sq += other.residual_sq;
    }
  };
  struct Row {};
  struct Kept {
    Group<float, 4> difference;  // -r, and 0 for what the row does not have
  };
  struct Result {
    float loss;
    float residual_sq;
    float gradient;
  };

  int classes;

  __device__ Row begin_row(std::int64_t) const { return {}; }
  __device__ void keep(Kept& kept, const Group<float, 4>& difference, const Group<float, 4>&,
                       const Group<float, 4>&) const {
    kept.difference = difference;
  }
  __device__ void add(Sums& sums, const Kept& kept, const RowGroup&) const {
    for (const float d : kept.difference.v) {
      sums.residual -= d;
      sums.residual_sq += d * d;
    }
  }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    const float c = static_cast<float>(classes);
    return {sums.residual / c, sums.residual_sq, -gradient_scale / c};
  }
  __device__ float gradient(const Result& result, const Kept&, const RowGroup&, int) const {
    return result.gradient;
  }
  __device__ Group<float, 4> residual(const Kept& kept, const RowGroup&) const {
    return negative(kept.difference);
  }
};

static_assert(check_row_loss<MeanResidual>());

}  // namespace

TEST_CASE("row_loss: long rows are held in large batches where the blocks of two run at once") {
  RowLossArgs<float> args;
  const auto held = [&](std::int64_t batch, std::int64_t classes, std::int64_t blocks) {
    args.batch = batch;
    args.classes = classes;
    return rows_are_held(args, blocks);
  };
  CHECK(held(256, 1000000, 264));  // 123 slabs, an H100
  CHECK_FALSE(held(256, 1000000, 216));
  CHECK_FALSE(held(4, 1000000, 264));  // too few outputs for three launches
  CHECK(held(5, 1000000, 264));
  CHECK(held(512, 8193, 4));
  CHECK_FALSE(held(512, 8193, 3));
  args.long_rows = LongRowsBy::reading_twice;
  CHECK_FALSE(held(256, 1000000, 264));
  args.long_rows = LongRowsBy::holding;
  CHECK(held(1, 8193, 1));
}

TEST_CASE("row_loss: the smallest loss that keeps the contract works for short, long and very long rows") {
  for (const std::int64_t classes : {1, 10, 700, 9000}) {
    CAPTURE(classes);
    const std::vector<float> output(static_cast<std::size_t>(2 * classes), 0.25f);
    const std::vector<std::int32_t> labels = {0, static_cast<std::int32_t>(classes - 1)};
    std::vector<float> gradient(output.size(), 7), loss(2, 7), residual_sq(2, 7);
    std::vector<std::int32_t> correct(2, 7);
    std::vector<double> workspace(row_loss_workspace_bytes(2, classes) / sizeof(double) + 1);
    RowLossArgs<float> args;
    args.batch = 2;
    args.classes = classes;
    args.output = output.data();
    args.labels = labels.data();
    args.gradient = gradient.data();
    args.sample_loss = loss.data();
    args.residual_sq = residual_sq.data();
    args.correct = correct.data();
    args.workspace = workspace.data();
    simt::Context gpu(2);
    row_loss<false>(gpu, args, nullptr, MeanResidual{static_cast<int>(classes)});
    const double c = static_cast<double>(classes);
    for (const std::size_t row : {0, 1}) {
      CHECK(loss[row] == Approx((1 - 0.25 * c) / c));
      CHECK(residual_sq[row] == Approx(0.75 * 0.75 + (c - 1) * 0.0625));
    }
    CHECK(gradient == std::vector<float>(output.size(), -0.5f / static_cast<float>(classes)));
  }
}
