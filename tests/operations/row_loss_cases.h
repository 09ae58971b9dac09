// What every loss over rows of outputs has to pass, on every device.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "kernels/row_loss/row_loss_math.h"
#include "tests/operations/devices.h"
#include "tests/support/numbers.h"
#include "tests/support/row_loss_reference.h"
#include "tests/support/row_shapes.h"

namespace qmse::test {

// A loss: run(device, args), and reference(problem, row, eps), what it should give; `eps` is `tolerance` for
// the type of the outputs.
template <class Run, class Reference>
struct LossCase {
  double spread;  // of the outputs
  long double f32_tolerance, f64_tolerance;
  Run run;
  Reference reference;

  template <class T>
  long double tolerance() const {
    return std::is_same_v<T, float> ? f32_tolerance : f64_tolerance;
  }
};
template <class Run, class Reference>
LossCase(double, long double, long double, Run, Reference) -> LossCase<Run, Reference>;

// f32: the CPU's lanes add up 32 numbers of a block, whose sums are added in f64; a GPU's lane at most 32
// outputs, warps and blocks in trees, slabs in a row of a few additions: at worst some 40 roundings of 2^-24,
// which have random signs. In f64 2^-53 instead.
inline constexpr long double kSumTolerance = 2e-6L, kF64SumTolerance = 1e-14L;

// A problem and its results in a device's memory.
template <class D>
class RowsOn {
  using T = typename D::Number;

 public:
  RowsOn(const D& device, const RowProblem<T>& problem, bool gradient = true, bool residual = false,
         std::size_t offset = 0)
      : output_(device.array(problem.output, offset)),
        labels_(device.array(problem.labels)),
        targets_(device.array(problem.targets)),
        gradient_(device.template unwritten<T>(gradient ? problem.batch * problem.classes : 0)),
        sample_loss_(device.template unwritten<T>(problem.batch)),
        residual_sq_(device.template unwritten<T>(problem.batch)),
        residual_(device.template unwritten<T>(residual ? problem.batch * problem.classes : 0)),
        correct_(device.template unwritten<std::int32_t>(problem.batch)),
        workspace_(device.template unwritten<unsigned char>(
            static_cast<std::int64_t>(row_loss_workspace_bytes(problem.batch, problem.classes)), 0xFF)) {
    args.batch = problem.batch;
    args.classes = problem.classes;
    args.scale = problem.scale;
    args.output = output_.data();
    args.labels = labels_.data();
    args.targets = targets_.data();
    args.gradient = gradient_.data();
    args.sample_loss = sample_loss_.data();
    args.residual_sq = residual_sq_.data();
    args.correct = correct_.data();
    args.residual = residual_.data();
    args.workspace = workspace_.data();
  }

  RowResults<T> results() const {
    RowResults<T> results;
    results.gradient = gradient_.values();
    results.sample_loss = sample_loss_.values();
    results.residual_sq = residual_sq_.values();
    results.residual = residual_.values();
    results.correct = correct_.values();
    return results;
  }

  RowLossArgs<T> args;

 private:
  template <class E>
  using Values = Array<std::remove_reference_t<decltype(std::declval<D>().context)>, E>;
  Values<T> output_;
  Values<std::int32_t> labels_;
  Values<T> targets_, gradient_, sample_loss_, residual_sq_, residual_;
  Values<std::int32_t> correct_;
  Values<unsigned char> workspace_;
};

struct RowRequest {
  bool dense = false, gradient = true, residual = false;
  std::size_t offset = 0;
};

// One batch on one device.
template <class Loss, class D>
void check_rows_on(const Loss& loss, const D& device, const RowShape& shape, const RowRequest& request) {
  using T = typename D::Number;
  const auto problem = random_problem<T>(shape.batch, shape.classes, request.dense, 11, loss.spread, 1.25);
  const RowsOn<D> rows(device, problem, request.gradient, request.residual, request.offset);
  loss.run(device, rows.args);
  check_rows(problem, rows.results(),
             [&](std::int64_t row) { return loss.reference(problem, row, loss.template tolerance<T>()); });
}

template <class Loss>
void check_shape(Devices& devices, const Loss& loss, const RowShape& shape, const RowRequest& request,
                 std::int64_t work) {
  CAPTURE(shape.batch, shape.classes, request.dense, request.gradient, request.offset);
  devices.each(work, [&](auto& device) { check_rows_on(loss, device, shape, request); });
}

// Both ways that a GPU has for rows that do not fit a block give the same bits, also where a workspace is used
// again.
template <class Loss>
void check_held_rows(Devices& devices, const Loss& loss, const RowShape& shape, bool dense) {
  CAPTURE(shape.batch, shape.classes, dense);
  devices.each_gpu(shape.batch * shape.classes, [&](auto& device) {
    const auto problem = random_problem<float>(shape.batch, shape.classes, dense, 11, loss.spread, 1.25);
    const auto reference = [&](std::int64_t row) {
      return loss.reference(problem, row, loss.template tolerance<float>());
    };
    using D = std::decay_t<decltype(device)>;
    RowsOn<D> twice(device, problem, true, true), held(device, problem, true, true);
    twice.args.long_rows = LongRowsBy::reading_twice;
    held.args.long_rows = LongRowsBy::holding;
    loss.run(device, twice.args);
    loss.run(device, held.args);
    loss.run(device, held.args);
    check_rows(problem, held.results(), reference);
    CHECK(same_bits(held.results().gradient, twice.results().gradient));
    CHECK(same_bits(held.results().residual, twice.results().residual));
    CHECK(same_bits(held.results().sample_loss, twice.results().sample_loss));
    CHECK(same_bits(held.results().residual_sq, twice.results().residual_sq));
    CHECK(held.results().correct == twice.results().correct);
  });
}

// Around every border between the ways that rows of different lengths take, with labels and dense targets,
// with and without a gradient, the residual stored or not.
template <class Loss>
void check_every_kind_of_row(const Loss& loss) {
  Devices devices;
  for (const RowShape& shape : row_shapes()) {
    const std::int64_t work = shape.batch * shape.classes;
    for (const bool dense : {false, true}) {
      check_shape(devices, loss, shape, {dense, true, shape.classes % 2 == 0}, work);
      check_shape(devices, loss, shape, {dense, false, false}, kOneOrder);
      if (shape.classes > kMaxBlockRow) check_held_rows(devices, loss, shape, dense);
    }
  }
}

template <class Loss>
void check_large_batches(const Loss& loss) {
  Devices devices;
  for (const RowShape& shape : large_batches()) {
    check_shape(devices, loss, shape, {shape.classes % 3 == 0}, kOneOrder);
  }
}

template <class Loss>
void check_long_rows(const Loss& loss) {
  Devices devices;
  check_shape(devices, loss, {2, 100003}, {}, kOneOrder);
  check_shape(devices, loss, {1, 100000}, {true}, kOneOrder);
  check_held_rows(devices, loss, {3, 100003}, false);
  // f32 keeps its precision over a million outputs.
  devices.each_f32(kOneOrder, [&](auto& device) {
    if constexpr (std::decay_t<decltype(device)>::kIsCpu) check_rows_on(loss, device, {1, 1000000}, {});
  });
}

template <class T, class Loss>
void check_thread_independence(const Loss& loss) {
  for (const RowShape& shape : {RowShape{500, 10}, RowShape{37, 1000}, RowShape{5, 20001}}) {
    const auto problem = random_problem<T>(shape.batch, shape.classes, false, 12);
    const auto results = [&](int threads) {
      CpuContext context(threads);
      const Device<CpuContext, T> device{context};
      const RowsOn<Device<CpuContext, T>> rows(device, problem);
      loss.run(device, rows.args);
      return rows.results();
    };
    const RowResults<T> one = results(1);
    for (const int threads : {2, 3, 5}) {
      CAPTURE(shape.batch, shape.classes, threads);
      const RowResults<T> many = results(threads);
      CHECK(same_bits(one.gradient, many.gradient));
      CHECK(same_bits(one.sample_loss, many.sample_loss));
      CHECK(same_bits(one.residual_sq, many.residual_sq));
      CHECK(one.correct == many.correct);
    }
  }
}

inline double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum / static_cast<double>(x.size());
}

// The mean over the batch of the loss in f64, as a function of the problem.
template <class Loss>
auto mean_loss(CpuContext& context, const Loss& loss) {
  return [&context, &loss](const RowProblem<double>& problem) {
    const Device<CpuContext, double> device{context};
    const RowsOn<Device<CpuContext, double>> rows(device, problem, false);
    loss.run(device, rows.args);
    return mean(rows.results().sample_loss);
  };
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

// That the gradient is that of the mean of the loss.
template <class Loss>
void check_gradient(const Loss& loss) {
  CpuContext context(1);
  const Device<CpuContext, double> device{context};
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    const auto problem = random_problem<double>(3, 7, dense, 5, loss.spread, 0.6);
    const RowsOn<Device<CpuContext, double>> rows(device, problem);
    loss.run(device, rows.args);
    check_finite_differences(problem, rows.results().gradient, mean_loss(context, loss));
  }
}

// NaN outputs are never correct and do not reach other rows; outputs that tie count where the label is first.
template <class Loss>
void check_correct(const Loss& loss) {
  Devices devices;
  for (const std::int64_t classes : {3, 4, 5, 130, 516, 600, 8196, 8193}) {
    for (const bool dense : {false, true}) {
      CAPTURE(classes, dense);
      devices.each(kOneOrder, [&](auto& device) {
        using D = std::decay_t<decltype(device)>;
        using T = typename D::Number;
        // Row 0: NaN elsewhere; 1: NaN at the label; 2: tie, label first; 3: tie, label second; 4: all NaN;
        // 5: the label's is the largest; 6: another is.
        RowProblem<T> problem{7, classes, 1.0, {}, {}, {}};
        problem.output.assign(static_cast<std::size_t>(7 * classes), T(0));
        const auto last = static_cast<std::int32_t>(classes - 1);
        const std::vector<std::int32_t> labels = {1, last, 1, last, 0, last, 1};
        problem.output[problem.at(0, 1)] = 1;
        problem.output[problem.at(0, 0)] = static_cast<T>(NAN);
        problem.output[problem.at(1, last)] = static_cast<T>(NAN);
        problem.output[problem.at(2, 1)] = problem.output[problem.at(2, last)] = 3;
        problem.output[problem.at(3, 1)] = problem.output[problem.at(3, last)] = 3;
        for (std::int64_t i = 0; i < classes; ++i) problem.output[problem.at(4, i)] = static_cast<T>(NAN);
        problem.output[problem.at(5, last)] = 2;
        problem.output[problem.at(6, 0)] = 2;
        if (dense) {
          problem.targets.assign(problem.output.size(), T(0));
          for (std::size_t row = 0; row < 7; ++row) {
            problem.targets[problem.at(static_cast<std::int64_t>(row), labels[row])] = 1;
          }
        } else {
          problem.labels = labels;
        }
        for (const LongRowsBy by : {LongRowsBy::reading_twice, LongRowsBy::holding}) {
          if (by == LongRowsBy::holding && (D::kIsCpu || classes <= kMaxBlockRow)) continue;
          RowsOn<D> rows(device, problem);
          rows.args.long_rows = by;
          loss.run(device, rows.args);
          const RowResults<T> results = rows.results();
          CHECK(results.correct == std::vector<std::int32_t>{0, 0, 1, 0, 0, 1, 0});
          for (const std::size_t row : {0, 1, 4}) {
            CHECK_FALSE(std::isfinite(results.residual_sq[row]));
            CHECK_FALSE(std::isfinite(results.sample_loss[row]));
          }
          for (const std::size_t row : {2, 3, 5, 6}) {
            CHECK(std::isfinite(results.residual_sq[row]));
            CHECK(std::isfinite(results.sample_loss[row]));
          }
        }
      });
    }
  }
}

// A gradient's own scale leaves the loss alone. All scales are powers of two, so that every value is exactly
// a multiple of the other's.
template <class Loss>
void check_gradient_scale(const Loss& loss) {
  Devices devices;
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    devices.each(1, [&](auto& device) {
      using D = std::decay_t<decltype(device)>;
      using T = typename D::Number;
      const auto problem = random_problem<T>(4, 10, dense, 3, loss.spread, 0.5);
      RowsOn<D> of_mean(device, problem), own(device, problem);
      loss.run(device, of_mean.args);
      own.args.gradient_scale = 2.0;  // the mean's is 0.5 / 4
      loss.run(device, own.args);
      RowResults<T> expected = of_mean.results();
      CHECK(own.results().sample_loss == expected.sample_loss);
      for (T& value : expected.gradient) value *= 16;
      CHECK(own.results().gradient == expected.gradient);
    });
  }
}

template <class Loss>
void check_refusals(const Loss& loss) {
  Devices devices;
  devices.each(kOneOrder, [&](auto& device) {
    using D = std::decay_t<decltype(device)>;
    using T = typename D::Number;
    const auto problem = random_problem<T>(2, 3, false, 1);
    const auto targets = device.template unwritten<T>(6, T(0));
    const RowsOn<D> rows(device, problem);
    const auto refused = [&](const auto& spoil) {
      RowLossArgs<T> args = rows.args;
      spoil(args);
      CHECK_THROWS_AS(loss.run(device, args), ShapeError);
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
    refused([](auto& args) { args.gradient_scale = NAN; });
    CHECK_NOTHROW(loss.run(device, rows.args));
  });
  devices.each_gpu(kOneOrder, [&](auto& device) {  // the CPU needs none
    using D = std::decay_t<decltype(device)>;
    RowsOn<D> rows(device, random_problem<float>(1, 8193, false, 1));
    rows.args.workspace = nullptr;
    CHECK_THROWS_AS(loss.run(device, rows.args), ShapeError);
  });
}

}  // namespace qmse::test
