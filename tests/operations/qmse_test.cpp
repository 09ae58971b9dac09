#include "kernels/qmse/qmse.h"

#include <array>
#include <functional>
#include <numeric>

#include "tests/operations/row_loss_cases.h"

using namespace qmse;
using namespace qmse::test;

namespace {

constexpr std::uint64_t kStep = 0x500000003u;  // the counter takes the low 32 bits
constexpr std::uint64_t kSeed = 0x123456789ABCDEFu;
constexpr std::uint32_t kFirstId = 100;

struct Options {
  DirectionDistribution distribution = DirectionDistribution::sphere;
  DirectionScope scope = DirectionScope::per_sample;
  QGradient q_gradient = QGradient::constant;
};

std::vector<Options> all_options() {
  std::vector<Options> all;
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const DirectionScope scope : {DirectionScope::per_sample, DirectionScope::per_batch}) {
      for (const QGradient q_gradient : {QGradient::constant, QGradient::full}) {
        all.push_back({distribution, scope, q_gradient});
      }
    }
  }
  return all;
}

std::string text(const Options& options) {
  return std::string(options.distribution == DirectionDistribution::sphere ? "sphere" : "rademacher") +
         (options.scope == DirectionScope::per_sample ? ", per sample" : ", per batch") +
         (options.q_gradient == QGradient::constant ? ", constant" : ", full");
}

// QMSE of `row` with sample ids 100, 101, ...; `v` may be null. Ids are left out where there is one v
// a batch.
template <class D>
void run_qmse(const D& device, const RowLossArgs<typename D::Number>& row, const Options& options,
              typename D::Number* v = nullptr) {
  std::vector<std::uint32_t> ids(row.batch > 0 ? static_cast<std::size_t>(row.batch) : 0);
  std::iota(ids.begin(), ids.end(), kFirstId);
  const auto ids_there = device.array(ids);
  const auto step = device.number(kStep);
  QmseArgs<typename D::Number> args;
  args.row = row;
  args.options = {options.distribution, options.scope, options.q_gradient, kSeed};
  args.step = step.data();
  args.sample_ids = options.scope == DirectionScope::per_batch ? nullptr : ids_there.data();
  args.v = v;
  qmse_loss(device.context, args);
  if constexpr (std::is_same_v<decltype(device.context), CudaContext&>) synchronize(device.context);
}

std::vector<float> expected_direction(const Options& options, std::int64_t row, std::int64_t classes) {
  std::vector<float> v(static_cast<std::size_t>(classes));
  const std::uint32_t sample =
      options.scope == DirectionScope::per_batch ? kWholeBatch : kFirstId + static_cast<std::uint32_t>(row);
  draw_direction(options.distribution, kSeed, static_cast<std::uint32_t>(kStep), sample, classes, v.data());
  return v;
}

auto qmse_of(const Options& options) {
  return LossCase{0.5, kSumTolerance, kF64SumTolerance,
                  [options](auto& device, const auto& args) { run_qmse(device, args, options); },
                  [options](const auto& problem, std::int64_t row, Real eps) {
                    const std::vector<float> v = expected_direction(options, row, problem.classes);
                    return qmse_reference(problem, row, v.data(), options.q_gradient == QGradient::full, eps);
                  }};
}

}  // namespace

TEST_CASE("qmse: value and gradient at every kind of row: sphere") { check_every_kind_of_row(qmse_of({})); }
TEST_CASE("qmse: value and gradient at every kind of row: Rademacher") {
  check_every_kind_of_row(
      qmse_of({DirectionDistribution::rademacher, DirectionScope::per_sample, QGradient::full}));
}
TEST_CASE("qmse: value and gradient at every kind of row: one v a batch") {
  check_every_kind_of_row(
      qmse_of({DirectionDistribution::sphere, DirectionScope::per_batch, QGradient::full}));
}
TEST_CASE("qmse: value and gradient with all options") {
  Devices devices;
  for (const Options& options : all_options()) {
    INFO(text(options));
    for (const RowShape& shape :
         {RowShape{65, 10}, RowShape{3, 7}, RowShape{3, 12}, RowShape{3, 130}, RowShape{3, 700},
          RowShape{4, 1024}, RowShape{2, 4099}, RowShape{2, 8200}}) {
      for (const bool gradient : {true, false}) {
        check_shape(devices, qmse_of(options), shape, {shape.batch % 2 == 0, gradient}, kOneOrder);
      }
    }
  }
}
TEST_CASE("qmse: value and gradient in large batches of short rows: sphere") {
  check_large_batches(qmse_of({}));
}
TEST_CASE("qmse: value and gradient in large batches of short rows: Rademacher") {
  check_large_batches(qmse_of({DirectionDistribution::rademacher}));
}
TEST_CASE("qmse: value and gradient of rows of 100,003 and a million outputs") {
  check_long_rows(qmse_of({}));
  check_long_rows(qmse_of({DirectionDistribution::rademacher}));
}

// c = 2 refuses 6 % of draws, c = 3 1.6 %: among these rows some are drawn again, next to rows that are not.
TEST_CASE("qmse: a direction that is refused is drawn again") {
  Devices devices;
  for (const std::int64_t classes : {2, 3, 5}) check_shape(devices, qmse_of({}), {200, classes}, {}, 1000);
}

TEST_CASE("qmse: a step that is taken again has the v of that time") {
  Devices devices;
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const std::int64_t classes : {1, 3, 10, 700, 8200}) {
      CAPTURE(static_cast<int>(distribution), classes);
      devices.each(6 * classes, [&](auto& device) {
        using D = std::decay_t<decltype(device)>;
        using T = typename D::Number;
        const RowsOn<D> rows(device, random_problem<T>(3, classes, false, 4));
        const auto v = device.template unwritten<T>(3 * classes);
        const auto ids = device.template array<std::uint32_t>({7, 9, 8});
        const auto step = device.number(kStep);
        const auto redraw = device.number(std::uint32_t{2});
        QmseArgs<T> args;
        args.row = rows.args;
        args.options = {distribution, DirectionScope::per_sample, QGradient::constant, kSeed};
        args.step = step.data();
        args.sample_ids = ids.data();
        args.redraw = redraw.data();
        args.v = v.data();
        qmse_loss(device.context, args);
        std::vector<T> expected;
        for (const std::uint32_t id : {7, 9, 8}) {
          std::vector<float> direction(static_cast<std::size_t>(classes));
          draw_direction(distribution, kSeed, static_cast<std::uint32_t>(kStep), id, classes,
                         direction.data(), 2);
          expected.insert(expected.end(), direction.begin(), direction.end());
        }
        CHECK(same_bits(v.values(), expected));
      });
    }
  }
}

TEST_CASE("qmse: v is stored as draw_direction gives it, bit for bit") {
  Devices devices;
  for (const Options& options : all_options()) {
    for (const std::int64_t classes : {1, 2, 3, 10, 129, 512, 513, 5000, 8193, 17001}) {
      INFO(text(options));
      CAPTURE(classes);
      devices.each(6 * classes, [&](auto& device) {
        using D = std::decay_t<decltype(device)>;
        using T = typename D::Number;
        const std::int64_t batch = classes > 1000 ? 2 : 6;
        const auto problem = random_problem<T>(batch, classes, classes % 2 == 0, 2);
        const RowsOn<D> rows(device, problem, classes % 3 != 0);
        const auto v = device.template unwritten<T>(batch * classes);
        run_qmse(device, rows.args, options, v.data());
        std::vector<T> expected;  // in f64 the same f32 vector, widened
        for (std::int64_t row = 0; row < batch; ++row) {
          const std::vector<float> direction = expected_direction(options, row, classes);
          expected.insert(expected.end(), direction.begin(), direction.end());
        }
        CHECK(same_bits(v.values(), expected));
      });
    }
  }
}

// Design facts 1 and 5: `full` is the gradient of 1/2 a^2, `constant` that of 1/2 r^T Q r with Q of the
// base point.
TEST_CASE("qmse: the gradient by finite differences") {
  CpuContext context(1);
  const Device<CpuContext, double> device{context};
  for (const Options& options : all_options()) {
    for (const bool dense : {false, true}) {
      INFO(text(options));
      CAPTURE(dense);
      const auto problem = random_problem<double>(3, 7, dense, 5, 0.5, 0.6);
      const RowsOn<Device<CpuContext, double>> rows(device, problem);
      std::vector<double> v(problem.output.size());
      run_qmse(device, rows.args, options, v.data());
      const auto loss = qmse_of(options);
      const auto frozen = [&](const RowProblem<double>& moved) {
        double sum = 0;
        for (std::int64_t row = 0; row < moved.batch; ++row) {
          double product = 0;  // <r0 + v, r>
          for (std::int64_t i = 0; i < moved.classes; ++i) {
            const double r0 = static_cast<double>(problem.r(row, i));
            product += (r0 + v[problem.at(row, i)]) * static_cast<double>(moved.r(row, i));
          }
          sum += product * product / 2;
        }
        return moved.scale * sum / static_cast<double>(moved.batch);
      };
      check_finite_differences(
          problem, rows.results().gradient,
          options.q_gradient == QGradient::full
              ? std::function<double(const RowProblem<double>&)>(mean_loss(context, loss))
              : frozen);
    }
  }
}

namespace {

// Even moments of x = <v, r>, from the second to the sixth.
std::array<double, 7> sphere_moments(const std::vector<double>& r) {
  const double c = static_cast<double>(r.size());
  double s = 0;
  for (const double x : r) s += x * x;
  return {1, 0, s / c, 0, 3 * s * s / (c * (c + 2)), 0, 15 * s * s * s / (c * (c + 2) * (c + 4))};
}

std::array<double, 7> rademacher_moments(const std::vector<double>& r) {  // over all sign patterns
  std::array<double, 7> moments{};
  const unsigned patterns = 1u << r.size();
  for (unsigned signs = 0; signs < patterns; ++signs) {
    double x = 0;
    for (std::size_t i = 0; i < r.size(); ++i) x += (signs >> i & 1u ? -1 : 1) * r[i];
    x /= std::sqrt(static_cast<double>(r.size()));
    double power = 1;
    for (double& moment : moments) {
      moment += power / patterns;
      power *= x;
    }
  }
  return moments;
}

}  // namespace

// Design fact 3. Each mean over K draws must lie within five standard errors, which follow from the moments
// of <v, r>.
TEST_CASE("qmse: means over many directions are the closed forms") {
  constexpr std::int64_t draws = 20000;
  const double k = static_cast<double>(draws);
  CpuContext context(2);
  for (const DirectionDistribution distribution :
       {DirectionDistribution::sphere, DirectionDistribution::rademacher}) {
    for (const std::vector<double>& r : {std::vector<double>{0.7, -0.4, 0.2, 0.1, -0.9},
                                         {0.05, 0.02, -0.03},
                                         {1.5, 0, 0, 0, 0, 0, 0, 0.5}}) {
      const std::int64_t c = static_cast<std::int64_t>(r.size());
      const bool sphere = distribution == DirectionDistribution::sphere;
      CAPTURE(sphere, c);
      RowProblem<double> problem{draws, c, 1.0, {}, {}, {}};
      problem.output.assign(static_cast<std::size_t>(draws * c), 0.0);
      for (std::int64_t row = 0; row < draws; ++row) {
        problem.targets.insert(problem.targets.end(), r.begin(), r.end());
      }
      const Device<CpuContext, double> device{context};
      const RowsOn<Device<CpuContext, double>> rows(device, problem);
      run_qmse(device, rows.args, {distribution});
      const RowResults<double> results = rows.results();

      const std::array<double, 7> m = sphere ? sphere_moments(r) : rademacher_moments(r);
      double s = 0;
      for (const double x : r) s += x * x;
      const double inverse_c = 1.0 / static_cast<double>(c);

      // E[1/2 a^2]; a = s + x.
      CHECK(m[2] == Approx(s * inverse_c));
      const double value_variance = s * s * m[2] + (m[4] - m[2] * m[2]) / 4;
      CHECK(std::abs(mean(results.sample_loss) - (s * s + s * inverse_c) / 2) <
            5 * std::sqrt(value_variance / k));

      // E||Qr||^2; ||Qr||^2 = a^2 ||r + v||^2 = (s + x)^2 (s + 1 + 2 x), a polynomial in x.
      const std::array<double, 4> z = {s * s * (s + 1), 2 * s * (s + 1) + 2 * s * s, s + 1 + 4 * s, 2};
      double second = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        for (std::size_t j = 0; j < 4; ++j) second += z[i] * z[j] * m[i + j];
      }
      const double square_mean = (s + 1) * (s * s + s * inverse_c) + 4 * s * s * inverse_c;
      double sum = 0;
      for (const double g : results.gradient) sum += g * g * k * k;
      CHECK(std::abs(sum / k - square_mean) < 5 * std::sqrt((second - square_mean * square_mean) / k));

      // E[Qr] = (s + 1/c) r; the mean's distance from it has variance (E||Qr||^2 - ||E[Qr]||^2) / K.
      const double drift = s + inverse_c;
      double distance_sq = 0;
      for (std::int64_t i = 0; i < c; ++i) {
        double mean = 0;
        for (std::int64_t row = 0; row < draws; ++row) mean -= results.gradient[problem.at(row, i)];
        const double expected = drift * r[static_cast<std::size_t>(i)];
        distance_sq += (mean - expected) * (mean - expected);
      }
      CHECK(distance_sq < 25 * (square_mean - drift * drift * s) / k);
    }
  }
}

// Design fact 4.
TEST_CASE("qmse: a is negative for some directions when the residual is short, the loss never") {
  const auto problem = [] {
    RowProblem<double> p{64, 4, 1.0, std::vector<double>(256), {}, {}};
    for (int row = 0; row < 64; ++row) p.targets.insert(p.targets.end(), {0.1, -0.2, 0.05, 0.1});
    return p;
  }();
  CpuContext context(1);
  const Device<CpuContext, double> device{context};
  const RowsOn<Device<CpuContext, double>> rows(device, problem);
  std::vector<double> v(256);
  run_qmse(device, rows.args, {}, v.data());
  const RowResults<double> results = rows.results();
  int negative = 0;
  for (std::int64_t row = 0; row < 64; ++row) {
    double a = 0;
    double along = 0;  // of the gradient along r + v: -a ||r + v||^2 / B
    for (std::int64_t i = 0; i < 4; ++i) {
      const std::size_t at = problem.at(row, i);
      a += (problem.targets[at] + v[at]) * problem.targets[at];
      along += (problem.targets[at] + v[at]) * results.gradient[at];
    }
    CHECK((a < 0) == (along > 0));
    CHECK(results.sample_loss[static_cast<std::size_t>(row)] >= 0);
    negative += a < 0 ? 1 : 0;
  }
  // ||r|| = 0.25: a < 0 where the cosine of v and r is below -0.25, 37 % of directions in four dimensions.
  CHECK(negative > 10);
  CHECK(negative < 40);
}

TEST_CASE("qmse: the same bits for every number of threads") {
  for (const Options& options : all_options()) {
    INFO(text(options));
    check_thread_independence<float>(qmse_of(options));
  }
  check_thread_independence<double>(qmse_of({}));
}

TEST_CASE("qmse: NaN outputs are never correct, and ties count for the first") { check_correct(qmse_of({})); }

TEST_CASE("qmse: a gradient's own scale leaves the loss alone") { check_gradient_scale(qmse_of({})); }

TEST_CASE("qmse: arguments that do not fit together are refused") {
  check_refusals(qmse_of({}));
  Devices devices;
  devices.each(kOneOrder, [&](auto& device) {
    using D = std::decay_t<decltype(device)>;
    using T = typename D::Number;
    const RowsOn<D> rows(device, random_problem<T>(2, 3, false, 1));
    const auto ids = device.template array<std::uint32_t>({1, 2});
    const auto step = device.number(kStep);
    QmseArgs<T> args;
    args.row = rows.args;
    args.sample_ids = ids.data();
    CHECK_THROWS_AS(qmse_loss(device.context, args), ShapeError);
    args.step = step.data();
    CHECK_NOTHROW(qmse_loss(device.context, args));
    args.sample_ids = nullptr;
    CHECK_THROWS_AS(qmse_loss(device.context, args), ShapeError);
    args.options.scope = DirectionScope::per_batch;
    CHECK_NOTHROW(qmse_loss(device.context, args));
    rows.results();  // waits for the work
  });
}
