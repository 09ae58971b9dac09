// Checks that every loss over rows of outputs has to pass on the CPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "device/context.h"
#include "tests/support/catch.h"
#include "tests/support/row_loss_reference.h"

namespace qmse::test {

// A lane adds up 32 numbers of a block, blocks are added in f64: at worst some 40 roundings of 2^-24, which
// have random signs. In f64 2^-53 instead.
template <class T>
inline constexpr long double kCpuTolerance = std::is_same_v<T, float> ? 2e-6L : 1e-14L;

struct CpuShape {
  std::int64_t batch;
  std::int64_t classes;
};

inline constexpr CpuShape kCpuShapes[] = {{1, 1},    {70, 1},   {3, 2},    {9, 3},    {65, 10},
                                          {256, 10}, {7, 31},   {5, 33},   {6, 100},  {5, 1000},
                                          {3, 1023}, {4, 1024}, {3, 1025}, {2, 4099}, {1, 20001}};

// run(context, args, problem) is the loss, reference(problem, row, tolerance) what it should give.
template <class T, class Run, class Reference>
void check_against_reference(const Run& run, const Reference& reference, double spread,
                             long double tolerance = kCpuTolerance<T>) {
  CpuContext context(2);
  for (const CpuShape& shape : kCpuShapes) {
    for (const bool dense : {false, true}) {
      for (const bool with_gradient : {true, false}) {
        CAPTURE(shape.batch, shape.classes, dense, with_gradient);
        const auto problem = random_problem<T>(shape.batch, shape.classes, dense, 11, spread, 1.25);
        RowResults<T> results;
        run(context, results.args(problem, with_gradient, with_gradient));
        check_rows(problem, results, [&](std::int64_t row) { return reference(problem, row, tolerance); });
      }
    }
  }
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T, class Run>
void check_thread_independence(const Run& run) {
  for (const CpuShape& shape : {CpuShape{500, 10}, CpuShape{37, 1000}, CpuShape{5, 20001}}) {
    const auto problem = random_problem<T>(shape.batch, shape.classes, false, 12);
    RowResults<T> one;
    CpuContext single(1);
    run(single, one.args(problem));
    for (const int threads : {2, 3, 5}) {
      CAPTURE(shape.batch, shape.classes, threads);
      CpuContext context(threads);
      RowResults<T> many;
      run(context, many.args(problem));
      CHECK(same_bits(one.gradient, many.gradient));
      CHECK(same_bits(one.sample_loss, many.sample_loss));
      CHECK(same_bits(one.residual_sq, many.residual_sq));
      CHECK(one.correct == many.correct);
    }
  }
}

// Central differences of value(problem), a mean over the batch, against the gradient that the loss wrote for
// `problem`. Both differences are of order step^2 and eps / step, far below 1e-6 of the gradient.
template <class Value>
void check_finite_differences(RowProblem<double> problem, const std::vector<double>& gradient,
                              const Value& value) {
  constexpr double step = 1e-5;
  double largest = 0;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  for (std::size_t i = 0; i < problem.output.size(); ++i) {
    const double f = problem.output[i];
    problem.output[i] = f + step;
    const double above = value(problem);
    problem.output[i] = f - step;
    const double below = value(problem);
    problem.output[i] = f;
    CAPTURE(i);
    CHECK(std::abs((above - below) / (2 * step) - gradient[i]) < 1e-6 * largest);
  }
}

inline double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum / static_cast<double>(x.size());
}

// NaN outputs are never correct and do not reach other rows; outputs that tie count where the label is first.
template <class Run>
void check_correct(const Run& run) {
  CpuContext context(1);
  const float nan = NAN;
  RowProblem<float> problem{7, 3, 1.0, {}, {}, {}};
  problem.output = {1, nan, 0, nan, 1, 0, 1, 0, nan, 2, 2, 1, 2, 2, 1, nan, nan, nan, 0, 1, 3};
  const std::vector<std::int32_t> labels = {0, 0, 0, 0, 1, 0, 2};
  const std::vector<std::int32_t> expected = {0, 0, 0, 1, 0, 0, 1};
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    problem.labels = dense ? std::vector<std::int32_t>() : labels;
    problem.targets.assign(dense ? 21 : 0, 0.0f);
    for (std::size_t row = 0; dense && row < 7; ++row) {
      problem.targets[3 * row + static_cast<std::size_t>(labels[row])] = 1;
    }
    RowResults<float> results;
    run(context, results.args(problem));
    CHECK(results.correct == expected);
    for (std::size_t row = 0; row < 7; ++row) {
      CAPTURE(row);
      const bool clean = row == 3 || row == 4 || row == 6;
      CHECK(std::isfinite(results.sample_loss[row]) == clean);
      CHECK(std::isfinite(results.residual_sq[row]) == clean);
    }
  }
}

template <class Run>
void check_refusals(const Run& run) {
  CpuContext context(1);
  const auto problem = random_problem<float>(2, 3, false, 1);
  const std::vector<float> targets(6);
  RowResults<float> results;
  const RowLossArgs<float> good = results.args(problem);
  const auto refused = [&](const auto& spoil) {
    RowLossArgs<float> args = good;
    spoil(args);
    CHECK_THROWS_AS(run(context, args), ShapeError);
  };
  refused([](auto& args) { args.batch = 0; });
  refused([](auto& args) { args.classes = 0; });
  refused([](auto& args) { args.classes = (std::int64_t{1} << 30) + 1; });
  refused([](auto& args) { args.output = nullptr; });
  refused([](auto& args) { args.labels = nullptr; });
  refused([&](auto& args) { args.targets = targets.data(); });
  refused([](auto& args) { args.sample_loss = nullptr; });
  refused([](auto& args) { args.residual_sq = nullptr; });
  refused([](auto& args) { args.correct = nullptr; });
  refused([](auto& args) { args.scale = NAN; });
  CHECK_NOTHROW(run(context, good));
}

}  // namespace qmse::test
