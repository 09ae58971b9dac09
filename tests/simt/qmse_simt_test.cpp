#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/qmse/qmse.cuh"
#include "tests/simt/executor.h"
#include "tests/simt/row_loss_shapes.h"
#include "tests/support/catch.h"
#include "tests/support/row_loss_reference.h"

namespace {

using namespace qmse;

struct Options {
  Direction distribution = Direction::sphere;
  DirectionScope scope = DirectionScope::per_sample;
  QGradient q_gradient = QGradient::constant;
  bool dense = false;
  bool with_gradient = true;
  bool with_v = true;
};

void check_qmse(std::int64_t batch, std::int64_t classes, const Options& options, std::uint64_t seed) {
  const bool rademacher = options.distribution == Direction::rademacher;
  const bool per_batch = options.scope == DirectionScope::per_batch;
  const bool full = options.q_gradient == QGradient::full;
  CAPTURE(batch, classes, rademacher, per_batch, full, options.dense, options.with_gradient, options.with_v,
          seed);
  const auto problem = test::random_problem<float>(batch, classes, options.dense, seed, 0.5, 1.5);
  const std::uint64_t step = 0x100000007u;  // the counter takes the low 32 bits
  std::vector<std::uint32_t> ids(static_cast<std::size_t>(batch));
  std::iota(ids.begin(), ids.end(), 40u);

  test::RowResults<float> results;
  QmseArgs<float> args;
  args.row = results.args(problem, options.with_gradient, options.with_v);
  args.options.distribution = options.distribution;
  args.options.scope = options.scope;
  args.options.q_gradient = options.q_gradient;
  args.options.seed = 0x123456789ABCDEFu + seed;
  args.step = &step;
  args.sample_ids = per_batch ? nullptr : ids.data();
  std::vector<float> v(options.with_v ? problem.output.size() : 0);
  args.v = options.with_v ? v.data() : nullptr;

  simt::Launcher launcher(seed);
  launch_qmse_loss(launcher, args);

  const std::vector<float> expected_v = test::directions(args);
  if (options.with_v) {
    CHECK(std::memcmp(v.data(), expected_v.data(), v.size() * sizeof(float)) == 0);
  }
  test::check_rows(problem, results, [&](std::int64_t row) {
    return test::qmse_reference(problem, row, expected_v.data() + row * classes, full,
                                test::kKernelTolerance);
  });
}

void check_shapes(const Options& options) {
  for (const test::RowShape& shape : test::row_shapes()) {
    for (const std::uint64_t seed : test::shape_seeds(shape)) {
      check_qmse(shape.batch, shape.classes, options, seed);
    }
  }
}

}  // namespace

TEST_CASE("qmse: sphere kernels match the reference, labels") { check_shapes({}); }

TEST_CASE("qmse: sphere kernels match the reference, dense targets") {
  Options options;
  options.dense = true;
  check_shapes(options);
}

TEST_CASE("qmse: Rademacher kernels match the reference, labels") {
  Options options;
  options.distribution = Direction::rademacher;
  check_shapes(options);
}

TEST_CASE("qmse: Rademacher kernels match the reference, dense targets") {
  Options options;
  options.distribution = Direction::rademacher;
  options.dense = true;
  check_shapes(options);
}

TEST_CASE("qmse: kernels with one v a batch, the full gradient, and nothing stored that is not asked for") {
  for (const Direction distribution : {Direction::sphere, Direction::rademacher}) {
    for (const std::int64_t classes : {7, 12, 130, 700, 8200}) {
      for (const bool with_gradient : {true, false}) {
        Options options;
        options.distribution = distribution;
        options.scope = DirectionScope::per_batch;
        options.q_gradient = QGradient::full;
        options.with_gradient = with_gradient;
        options.with_v = false;
        check_qmse(3, classes, options, 4);
      }
      Options options;
      options.distribution = distribution;
      options.with_gradient = false;
      check_qmse(2, classes, options, 5);
    }
  }
}

// c = 2 refuses 6 % of draws, c = 3 1.6 %: among these rows some are drawn again, next to rows that are not.
TEST_CASE("qmse: kernels draw again where a direction is refused") {
  for (const std::int64_t classes : {2, 3, 5}) {
    for (const std::uint64_t seed : {0, 2}) check_qmse(200, classes, {}, seed);
  }
}

TEST_CASE("qmse: sphere kernels match the reference in large batches of short rows") {
  for (const test::RowShape& shape : test::large_batches()) {
    Options options;
    options.dense = shape.classes % 3 == 0;
    check_qmse(shape.batch, shape.classes, options, 2);
  }
}

TEST_CASE("qmse: Rademacher kernels match the reference in large batches of short rows") {
  for (const test::RowShape& shape : test::large_batches()) {
    Options options;
    options.distribution = Direction::rademacher;
    options.dense = shape.classes % 3 != 0;
    check_qmse(shape.batch, shape.classes, options, 2);
  }
}

TEST_CASE("qmse: kernels match the reference on rows of 100,003 outputs") {
  check_qmse(1, 100003, {}, 2);
  Options options;
  options.distribution = Direction::rademacher;
  check_qmse(1, 100000, options, 3);
}

TEST_CASE("qmse: the expected loss's kernels match the reference") {
  for (const test::RowShape& shape : test::row_shapes()) {
    for (const bool dense : {false, true}) {
      CAPTURE(shape.batch, shape.classes, dense);
      const auto problem = test::random_problem<float>(shape.batch, shape.classes, dense, 3, 0.5, 1.5);
      test::RowResults<float> results;
      simt::Launcher launcher(2);
      launch_qmse_expected_loss(launcher, results.args(problem));
      test::check_rows(problem, results, [&](std::int64_t row) {
        return test::qmse_expected_reference(problem, row, test::kKernelTolerance);
      });
    }
  }
}

TEST_CASE("qmse: long rows without a workspace are an error") {
  const auto problem = test::random_problem<float>(1, 8193, false, 1);
  test::RowResults<float> results;
  RowLossArgs<float> args = results.args(problem);
  args.workspace = nullptr;
  simt::Launcher launcher(0);
  CHECK_THROWS_AS(launch_qmse_expected_loss(launcher, args), ShapeError);
}
