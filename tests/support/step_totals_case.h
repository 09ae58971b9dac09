// A step's numbers for tests of step_totals, and what must come of them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/step_totals/step_totals.h"
#include "tests/support/numbers.h"
#include "tests/support/small_op_references.h"

namespace qmse::test {

template <class T>
struct StepNumbers {
  StepNumbers(std::int64_t batch, std::int64_t n, std::uint64_t seed)
      : losses(random_values<T>(batch, seed, 0, 3)),
        residuals(random_values<T>(batch, seed + 100, 0, 2)),
        gradients(random_values<T>(n, seed + 200, -100, 100)) {
    for (std::size_t i = 0; i < losses.size(); ++i) hits.push_back(i % 3 == 0 ? 1 : 0);
  }

  StepTotalsArgs<T> args() const {
    StepTotalsArgs<T> args;
    args.batch = static_cast<std::int64_t>(losses.size());
    args.sample_loss = losses.data();
    args.residual_sq = residuals.data();
    args.correct = hits.data();
    args.n = static_cast<std::int64_t>(gradients.size());
    args.gradients = gradients.data();
    return args;
  }

  double loss() const { return sum(losses); }
  double residual_sq() const { return sum(residuals); }
  double norm_sq() const { return reference_sum_of_squares(to_f64(gradients)); }
  std::int64_t correct() const { return (static_cast<std::int64_t>(hits.size()) + 2) / 3; }

  std::vector<T> losses, residuals;
  std::vector<std::int32_t> hits;
  std::vector<T> gradients;

 private:
  static double sum(const std::vector<T>& values) {
    double total = 0;
    for (const T value : values) total += static_cast<double>(value);
    return total;
  }
};

}  // namespace qmse::test
