#include "kernels/qmse/qmse.h"

#include <array>
#include <functional>
#include <numeric>

#include "tests/kernels/row_loss_checks.h"

namespace {

using namespace qmse;

constexpr std::uint64_t kStep = 0x500000003u;  // the counter takes the low 32 bits

struct Options {
  Direction distribution = Direction::sphere;
  DirectionScope scope = DirectionScope::per_sample;
  QGradient q_gradient = QGradient::constant;
};

// QMSE of `row` with sample ids 100, 101, ...
template <class T>
struct Call {
  std::vector<std::uint32_t> ids;
  QmseArgs<T> args;

  Call(const RowLossArgs<T>& row, const Options& options) : ids(static_cast<std::size_t>(row.batch)) {
    std::iota(ids.begin(), ids.end(), 100u);
    args.row = row;
    args.options.distribution = options.distribution;
    args.options.scope = options.scope;
    args.options.q_gradient = options.q_gradient;
    args.options.seed = 77;
    args.step = &kStep;
    args.sample_ids = ids.data();
  }
};

// The checks' `run` for these options.
auto runner(const Options& options) {
  return [options]<class T>(CpuContext& context, const RowLossArgs<T>& row) {
    qmse_loss(context, Call<T>(row, options).args);
  };
}

std::vector<Options> all_options() {
  std::vector<Options> all;
  for (const Direction distribution : {Direction::sphere, Direction::rademacher}) {
    for (const DirectionScope scope : {DirectionScope::per_sample, DirectionScope::per_batch}) {
      for (const QGradient q_gradient : {QGradient::constant, QGradient::full}) {
        all.push_back({distribution, scope, q_gradient});
      }
    }
  }
  return all;
}

std::string text(const Options& options) {
  return std::string(options.distribution == Direction::sphere ? "sphere" : "rademacher") +
         (options.scope == DirectionScope::per_sample ? ", per sample" : ", per batch") +
         (options.q_gradient == QGradient::constant ? ", constant" : ", full");
}

template <class T>
std::vector<T> stored_directions(CpuContext& context, const test::RowProblem<T>& problem,
                                 const Options& options) {
  test::RowResults<T> results;
  Call<T> call(results.args(problem), options);
  std::vector<T> v(problem.output.size());
  call.args.v = v.data();
  qmse_loss(context, call.args);
  return v;
}

template <class T>
void check_reference(const Options& options) {
  INFO(text(options));
  const bool full = options.q_gradient == QGradient::full;
  test::check_against_reference<T>(
      runner(options),
      [&](const test::RowProblem<T>& problem, std::int64_t row, long double tolerance) {
        std::vector<float> v(static_cast<std::size_t>(problem.classes));
        const std::uint32_t sample =
            options.scope == DirectionScope::per_batch ? kWholeBatch : 100u + static_cast<std::uint32_t>(row);
        draw_direction(options.distribution, 77, static_cast<std::uint32_t>(kStep), sample, problem.classes,
                       v.data());
        return test::qmse_reference(problem, row, v.data(), full, tolerance);
      },
      0.5);
}

}  // namespace

TEST_CASE("qmse: f32 matches the reference") {
  for (const Options& options : all_options()) check_reference<float>(options);
}

TEST_CASE("qmse: f64 matches the reference, with v in f32 all the same") {
  for (const Options& options : all_options()) check_reference<double>(options);
}

TEST_CASE("qmse: the expected loss matches the reference") {
  const auto expected = [](CpuContext& context, const auto& args) { qmse_expected_loss(context, args); };
  const auto reference = [](const auto& problem, std::int64_t row, long double tolerance) {
    return test::qmse_expected_reference(problem, row, tolerance);
  };
  test::check_against_reference<float>(expected, reference, 0.5);
  test::check_against_reference<double>(expected, reference, 0.5);
  test::check_refusals(expected);
}

TEST_CASE("qmse: v is stored as draw_direction gives it") {
  CpuContext context(2);
  for (const Options& options : all_options()) {
    for (const std::int64_t classes : {1, 2, 10, 129, 5000}) {
      INFO(text(options));
      CAPTURE(classes);
      const auto problem = test::random_problem<float>(6, classes, false, 2);
      test::RowResults<float> unused;
      const std::vector<float> expected = test::directions(Call<float>(unused.args(problem), options).args);
      CHECK(test::same_bits(stored_directions(context, problem, options), expected));
      const auto wide =
          stored_directions(context, test::random_problem<double>(6, classes, true, 2), options);
      CHECK(wide == std::vector<double>(expected.begin(), expected.end()));
    }
  }
}

TEST_CASE("qmse: a row of a million outputs keeps f32's precision") {
  CpuContext context(2);
  for (const Direction distribution : {Direction::sphere, Direction::rademacher}) {
    const auto problem = test::random_problem<float>(1, 1000000, false, 3, 0.5);
    test::RowResults<float> results;
    const Call<float> call(results.args(problem), {distribution});
    qmse_loss(context, call.args);
    const std::vector<float> v = test::directions(call.args);
    test::check_rows(problem, results, [&](std::int64_t row) {
      return test::qmse_reference(problem, row, v.data(), false, test::kCpuTolerance<float>);
    });
  }
}

// Design facts 1 and 5: `full` is the gradient of 1/2 a^2, `constant` that of 1/2 r^T Q r with Q of the base
// point.
TEST_CASE("qmse: the gradient by finite differences") {
  CpuContext context(1);
  for (const Options& options : all_options()) {
    for (const bool dense : {false, true}) {
      INFO(text(options));
      CAPTURE(dense);
      const auto problem = test::random_problem<double>(3, 7, dense, 5, 0.5, 0.6);
      test::RowResults<double> results;
      Call<double> call(results.args(problem), options);
      std::vector<double> v(problem.output.size());
      call.args.v = v.data();
      qmse_loss(context, call.args);
      const auto full = [&](const test::RowProblem<double>& moved) {
        test::RowResults<double> there;
        qmse_loss(context, Call<double>(there.args(moved, false), options).args);
        return test::mean(there.sample_loss);
      };
      const auto frozen = [&](const test::RowProblem<double>& moved) {
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
      test::check_finite_differences(problem, results.gradient,
                                     options.q_gradient == QGradient::full
                                         ? std::function<double(const test::RowProblem<double>&)>(full)
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
  for (const Direction distribution : {Direction::sphere, Direction::rademacher}) {
    for (const std::vector<double>& r : {std::vector<double>{0.7, -0.4, 0.2, 0.1, -0.9},
                                         {0.05, 0.02, -0.03},
                                         {1.5, 0, 0, 0, 0, 0, 0, 0.5}}) {
      const std::int64_t c = static_cast<std::int64_t>(r.size());
      const bool sphere = distribution == Direction::sphere;
      CAPTURE(sphere, c);
      test::RowProblem<double> problem{draws, c, 1.0, {}, {}, {}};
      problem.output.assign(static_cast<std::size_t>(draws * c), 0.0);
      for (std::int64_t row = 0; row < draws; ++row) {
        problem.targets.insert(problem.targets.end(), r.begin(), r.end());
      }
      test::RowResults<double> results;
      const Call<double> call(results.args(problem), {distribution});
      qmse_loss(context, call.args);

      const std::array<double, 7> m = sphere ? sphere_moments(r) : rademacher_moments(r);
      double s = 0;
      for (const double x : r) s += x * x;
      const double inverse_c = 1.0 / static_cast<double>(c);

      // E[1/2 a^2]; a = s + x.
      CHECK(m[2] == Approx(s * inverse_c));
      const double value_variance = s * s * m[2] + (m[4] - m[2] * m[2]) / 4;
      CHECK(std::abs(test::mean(results.sample_loss) - (s * s + s * inverse_c) / 2) <
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
    test::RowProblem<double> p{64, 4, 1.0, std::vector<double>(256), {}, {}};
    for (int row = 0; row < 64; ++row) p.targets.insert(p.targets.end(), {0.1, -0.2, 0.05, 0.1});
    return p;
  }();
  CpuContext context(1);
  test::RowResults<double> results;
  Call<double> call(results.args(problem), {});
  std::vector<double> v(256);
  call.args.v = v.data();
  qmse_loss(context, call.args);
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
    test::check_thread_independence<float>(runner(options));
  }
  test::check_thread_independence<double>(runner({}));
}

TEST_CASE("qmse: predictions are correct where the label's output is the first largest") {
  test::check_correct(runner({}));
}

TEST_CASE("qmse: arguments that do not fit together are refused") {
  test::check_refusals(runner({}));
  CpuContext context(1);
  const auto problem = test::random_problem<float>(2, 3, false, 1);
  test::RowResults<float> results;
  const Call<float> good(results.args(problem), {});
  QmseArgs<float> args = good.args;
  args.step = nullptr;
  CHECK_THROWS_AS(qmse_loss(context, args), ShapeError);
  args = good.args;
  args.sample_ids = nullptr;
  CHECK_THROWS_AS(qmse_loss(context, args), ShapeError);
  args.options.scope = DirectionScope::per_batch;
  CHECK_NOTHROW(qmse_loss(context, args));
}
