#include "kernels/mse_noise/mse_noise.h"

#include <array>
#include <numeric>

#include "tests/operations/row_loss_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::uint64_t kNoiseStep = 12;
constexpr std::uint64_t kNoiseSeed = 91;

template <class D>
void run_mse_noise(const D& device, const RowLossArgs<typename D::Number>& row,
                   DirectionDistribution distribution, DirectionScope scope) {
  std::vector<std::uint32_t> ids(row.batch > 0 ? static_cast<std::size_t>(row.batch) : 0);
  std::iota(ids.begin(), ids.end(), 0u);
  const auto ids_there = device.array(ids);
  const auto step = device.number(kNoiseStep);
  QmseArgs<typename D::Number> args;
  args.row = row;
  args.options = {distribution, scope, QGradient::full, kNoiseSeed};  // which is not looked at
  args.step = step.data();
  args.sample_ids = ids_there.data();
  mse_noise_loss(device.context, args);
  if constexpr (std::is_same_v<decltype(device.context), CudaContext&>) synchronize(device.context);
}

auto mse_noise_of(DirectionDistribution distribution, DirectionScope scope = DirectionScope::per_sample) {
  return LossCase{0.5, kSumTolerance, kF64SumTolerance,
                  [=](auto& device, const auto& args) { run_mse_noise(device, args, distribution, scope); },
                  [=](const auto& problem, std::int64_t row, Real eps) {
                    std::vector<float> v(static_cast<std::size_t>(problem.classes));
                    draw_direction(
                        distribution, kNoiseSeed, static_cast<std::uint32_t>(kNoiseStep),
                        scope == DirectionScope::per_batch ? kWholeBatch : static_cast<std::uint32_t>(row),
                        problem.classes, v.data());
                    return mse_noise_reference(problem, row, v.data(), eps);
                  }};
}

}  // namespace

TEST_CASE("mse_noise: value and gradient at every kind of row: sphere") {
  check_every_kind_of_row(mse_noise_of(DirectionDistribution::sphere));
}
TEST_CASE("mse_noise: value and gradient at every kind of row: Rademacher") {
  check_every_kind_of_row(mse_noise_of(DirectionDistribution::rademacher));
}
TEST_CASE("mse_noise: value and gradient at every kind of row: one v a batch") {
  check_every_kind_of_row(mse_noise_of(DirectionDistribution::sphere, DirectionScope::per_batch));
}
TEST_CASE("mse_noise: value and gradient in large batches of short rows") {
  check_large_batches(mse_noise_of(DirectionDistribution::sphere));
  check_large_batches(mse_noise_of(DirectionDistribution::rademacher));
}
TEST_CASE("mse_noise: value and gradient of rows of 100,003 and a million outputs") {
  check_long_rows(mse_noise_of(DirectionDistribution::sphere));
}
TEST_CASE("mse_noise: the same bits for every number of threads") {
  check_thread_independence<float>(mse_noise_of(DirectionDistribution::sphere));
  check_thread_independence<double>(mse_noise_of(DirectionDistribution::rademacher));
}
TEST_CASE("mse_noise: NaN outputs are never correct, and ties count for the first") {
  check_correct(mse_noise_of(DirectionDistribution::sphere));
}
TEST_CASE("mse_noise: a gradient's own scale leaves the loss alone") {
  check_gradient_scale(mse_noise_of(DirectionDistribution::sphere));
}
TEST_CASE("mse_noise: arguments that do not fit together are refused") {
  check_refusals(mse_noise_of(DirectionDistribution::sphere));
}

// docs/theory.md 7.5: over v, the step's mean is MSE's and its covariance QMSE's. Each mean within five of its
// standard errors, which the draws themselves give.
TEST_CASE("mse_noise: over many directions the mean is MSE's gradient and the covariance QMSE's") {
  constexpr std::int64_t c = 4, draws = 40000;
  const std::array<double, c> r{0.6, -0.3, 0.1, 0.4};
  const double n = c, square = 0.36 + 0.09 + 0.01 + 0.16;
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    CAPTURE(static_cast<int>(distribution));
    RowProblem<double> problem{draws, c, 1.0, std::vector<double>(draws * c), {}, {}};
    for (std::int64_t row = 0; row < draws; ++row)
      problem.targets.insert(problem.targets.end(), r.begin(), r.end());
    CpuContext context(2);
    const Device<CpuContext, double> device{context};
    const RowsOn<Device<CpuContext, double>> rows(device, problem);
    run_mse_noise(device, rows.args, distribution, DirectionScope::per_sample);
    const RowResults<double> results = rows.results();
    CHECK(results.sample_loss[5] == Approx(square / 2));
    // Steps of single samples, minus MSE's.
    const auto noise = [&](std::int64_t row, std::size_t i) {
      return -results.gradient[problem.at(row, static_cast<std::int64_t>(i))] * static_cast<double>(draws) -
             r[i];
    };
    const auto mean_and_error = [&](const auto& value) {
      double sum = 0, squares = 0;
      for (std::int64_t row = 0; row < draws; ++row) {
        const double x = value(row);
        sum += x;
        squares += x * x;
      }
      const double mean = sum / draws;
      return std::pair{mean, std::sqrt((squares / draws - mean * mean) / draws)};
    };
    for (std::size_t i = 0; i < c; ++i) {
      const auto [mean, error] = mean_and_error([&](std::int64_t row) { return noise(row, i); });
      CHECK(std::abs(mean) < 5 * error);
      for (std::size_t j = 0; j < c; ++j) {
        CAPTURE(i, j);
        const double same = i == j ? 1 : 0;
        const double fourth = distribution == DirectionDistribution::sphere
                                  ? (square * same + 2 * r[i] * r[j]) / (n * (n + 2))
                                  : (square * same + 2 * r[i] * r[j] - 2 * same * r[i] * r[i]) / (n * n);
        const double closed =
            (3 * square / n - 1 / (n * n)) * r[i] * r[j] + square * square / n * same + fourth;
        const auto [covariance, its_error] =
            mean_and_error([&](std::int64_t row) { return noise(row, i) * noise(row, j); });
        CHECK(std::abs(covariance - closed) < 5 * its_error);
      }
    }
  }
}
