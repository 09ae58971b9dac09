// Problems and references for the losses over rows of outputs: written from the formulas, with sums in long
// double, and with the error that rounding may cause beside each value.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "tests/support/catch.h"

namespace qmse::test {

using Real = long double;

template <class T>
struct RowProblem {
  std::int64_t batch;
  std::int64_t classes;
  double scale;
  std::vector<T> output;
  std::vector<std::int32_t> labels;  // empty with dense targets
  std::vector<T> targets;            // empty with labels

  std::size_t at(std::int64_t row, std::int64_t i) const {
    return static_cast<std::size_t>(row * classes + i);
  }
  Real f(std::int64_t row, std::int64_t i) const { return output[at(row, i)]; }
  Real y(std::int64_t row, std::int64_t i) const {
    if (labels.empty()) return targets[at(row, i)];
    return labels[static_cast<std::size_t>(row)] == i ? 1 : 0;
  }
  Real r(std::int64_t row, std::int64_t i) const { return y(row, i) - f(row, i); }
};

// Normal outputs times `spread`. Of any four rows one has outputs on a coarse grid, so that the largest is
// often not alone, and one has the first largest output at its label.
template <class T>
RowProblem<T> random_problem(std::int64_t batch, std::int64_t classes, bool dense, std::uint64_t seed,
                             double spread = 0.8, double scale = 1.0) {
  std::mt19937_64 bits(seed * 1000003 +
                       static_cast<std::uint64_t>(batch * 4 + classes * 2 + (dense ? 1 : 0)));
  std::normal_distribution<double> normal;
  RowProblem<T> problem{batch, classes, scale, {}, {}, {}};
  problem.output.resize(static_cast<std::size_t>(batch * classes));
  for (T& f : problem.output) f = static_cast<T>(spread * normal(bits));
  if (dense) {
    problem.targets.resize(problem.output.size());
    for (T& y : problem.targets) y = static_cast<T>(std::abs(normal(bits)) / std::sqrt(double(classes)));
  } else {
    problem.labels.resize(static_cast<std::size_t>(batch));
  }
  for (std::int64_t row = 0; row < batch; ++row) {
    std::int64_t label = static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(classes));
    if (row % 4 == 1) {
      for (std::int64_t i = 0; i < classes; ++i) {
        T& f = problem.output[problem.at(row, i)];
        f = std::min(T(1), std::round(2 * f) / 2);
      }
    }
    if (row % 4 == 2 || (row % 4 == 1 && row % 8 == 1)) {
      label = 0;
      for (std::int64_t i = 1; i < classes; ++i) {
        if (problem.f(row, i) > problem.f(row, label)) label = i;
      }
    }
    if (!dense) {
      problem.labels[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(label);
    } else if (row % 4 != 3) {
      problem.targets[problem.at(row, label)] += 2;
    }
  }
  return problem;
}

// What a loss writes.
template <class T>
struct RowResults {
  std::vector<T> gradient, sample_loss, residual_sq, residual;
  std::vector<std::int32_t> correct;
};

// A value and by how much rounding may move it.
struct Bounded {
  Real value;
  Real error;
};

struct RowReference {
  Bounded loss;  // scaled
  Bounded residual_sq;
  bool correct;
  std::vector<Bounded> gradient;  // of the batch mean, scaled
};

template <class T>
std::int64_t first_largest(const RowProblem<T>& problem, std::int64_t row, bool target) {
  std::int64_t best = 0;
  for (std::int64_t i = 1; i < problem.classes; ++i) {
    const Real here = target ? problem.y(row, i) : problem.f(row, i);
    if (here > (target ? problem.y(row, best) : problem.f(row, best))) best = i;
  }
  return best;
}

template <class T>
Real reference_residual_sq(const RowProblem<T>& problem, std::int64_t row) {
  Real sum = 0;
  for (std::int64_t i = 0; i < problem.classes; ++i) sum += problem.r(row, i) * problem.r(row, i);
  return sum;
}

// Loss and gradient factor of a loss that depends on ||r||^2 alone. `eps` is the relative error allowed to a
// sum of positive terms and to the few roundings after it.
template <class T, class Value, class Factor>
RowReference residual_reference(const RowProblem<T>& problem, std::int64_t row, Real eps, const Value& value,
                                const Factor& factor) {
  const Real residual_sq = reference_residual_sq(problem, row);
  const Real loss = problem.scale * value(residual_sq);
  RowReference reference{{loss, 3 * eps * loss}, {residual_sq, eps * residual_sq}, false, {}};
  reference.correct = first_largest(problem, row, false) == first_largest(problem, row, true);
  const Real scale = problem.scale / static_cast<Real>(problem.batch);
  for (std::int64_t i = 0; i < problem.classes; ++i) {
    const Real g = scale * factor(residual_sq) * problem.r(row, i);
    // y - f is rounded once, too.
    reference.gradient.push_back({g, 2 * eps * std::abs(g)});
  }
  return reference;
}

// `v` is the row's direction.
template <class T>
RowReference qmse_reference(const RowProblem<T>& problem, std::int64_t row, const float* v, bool full,
                            Real eps) {
  const Real residual_sq = reference_residual_sq(problem, row);
  Real product = 0;
  for (std::int64_t i = 0; i < problem.classes; ++i) product += v[i] * problem.r(row, i);
  const Real a = residual_sq + product;
  // <v, r> may cancel: its error is relative to ||v|| ||r||.
  const Real a_error = eps * (residual_sq + std::sqrt(residual_sq));
  RowReference reference;
  reference.loss = {problem.scale * a * a / 2,
                    problem.scale * (std::abs(a) * a_error + a_error * a_error / 2 + eps * a * a)};
  reference.residual_sq = {residual_sq, eps * residual_sq};
  reference.correct = first_largest(problem, row, false) == first_largest(problem, row, true);
  const Real scale = problem.scale / static_cast<Real>(problem.batch);
  for (std::int64_t i = 0; i < problem.classes; ++i) {
    const Real r = (full ? 2 : 1) * problem.r(row, i);
    reference.gradient.push_back(
        {-scale * a * (r + v[i]),
         scale * (a_error * std::abs(r + v[i]) + eps * std::abs(a) * (std::abs(r) + std::abs(Real(v[i]))))});
  }
  return reference;
}

// MSE and the noise Qr - (||r||^2 + 1/c) r of QMSE with the direction `v`.
template <class T>
RowReference mse_noise_reference(const RowProblem<T>& problem, std::int64_t row, const float* v, Real eps) {
  RowReference reference = residual_reference(
      problem, row, eps, [](Real s) { return s / 2; }, [](Real) { return Real(-1); });
  const RowReference qmse = qmse_reference(problem, row, v, false, eps);
  const Real square = reference_residual_sq(problem, row), length = std::sqrt(square);
  const Real drift = square + 1 / static_cast<Real>(problem.classes);
  const Real scale = problem.scale / static_cast<Real>(problem.batch);
  for (std::int64_t i = 0; i < problem.classes; ++i) {
    Bounded& g = reference.gradient[static_cast<std::size_t>(i)];
    const Real r = problem.r(row, i);
    g.value += qmse.gradient[static_cast<std::size_t>(i)].value + scale * drift * r;
    // (1 - 1/c + <v,r>) r and (||r||^2 + <v,r>) v, where <v,r> may cancel.
    g.error = scale * 2 * eps * ((1 + length) * std::abs(r) + (square + length) * std::abs(Real(v[i])));
  }
  return reference;
}

template <class T>
RowReference cross_entropy_reference(const RowProblem<T>& problem, std::int64_t row, Real eps) {
  const std::int64_t c = problem.classes;
  const std::int64_t first = first_largest(problem, row, false);
  const Real largest = problem.f(row, first);
  // Without the largest term, 1, in which small ones would lose digits even here.
  Real others = 0;
  for (std::int64_t i = 0; i < c; ++i) others += i == first ? 0 : std::exp(problem.f(row, i) - largest);
  const Real log_sum = std::log1p(others);
  const auto p = [&](std::int64_t i) { return std::exp(problem.f(row, i) - largest) / (1 + others); };
  Real loss = 0, loss_size = 0, target_sum = 0, square = 0, size = 0;
  for (std::int64_t i = 0; i < c; ++i) {
    const Real y = problem.y(row, i);
    const Real log_p = problem.f(row, i) - largest - log_sum;
    loss -= y * log_p;
    loss_size += std::abs(y * log_p);
    target_sum += y;
    const Real r = i == first ? y - 1 + others / (1 + others) : y - p(i);
    square += r * r;
    size += y * y + p(i) * p(i);
  }
  RowReference reference;
  // Of dense targets the sum of exponentials holds its largest term, 1, which small ones are rounded to; with
  // labels it does not.
  const Real rounded_sum =
      problem.labels.empty() ? std::numeric_limits<T>::epsilon() * std::abs(target_sum) : 0;
  reference.loss = {problem.scale * loss, problem.scale * (eps * loss_size + rounded_sum)};
  // With labels there is no cancellation even where the prediction is nearly perfect.
  reference.residual_sq = {square, eps * (problem.labels.empty() ? size : square)};
  reference.correct = first_largest(problem, row, false) == first_largest(problem, row, true);
  const Real scale = problem.scale / static_cast<Real>(problem.batch);
  for (std::int64_t i = 0; i < c; ++i) {
    const Real y = problem.y(row, i);
    reference.gradient.push_back(
        {scale * (target_sum * p(i) - y), eps * scale * (std::abs(target_sum) * p(i) + std::abs(y))});
  }
  return reference;
}

template <class T>
bool within(T value, const Bounded& bounded) {
  const Real difference = std::abs(static_cast<Real>(value) - bounded.value);
  return difference <= bounded.error + std::numeric_limits<T>::min();
}

// Compares all rows with reference(row); one assertion a row, so that large problems stay quick.
template <class T, class Reference>
void check_rows(const RowProblem<T>& problem, const RowResults<T>& results, const Reference& reference) {
  for (std::int64_t row = 0; row < problem.batch; ++row) {
    CAPTURE(row);
    const auto index = static_cast<std::size_t>(row);
    const RowReference expected = reference(row);
    INFO("loss " << results.sample_loss[index] << ", expected " << expected.loss.value << " +- "
                 << expected.loss.error);
    CHECK(within(results.sample_loss[index], expected.loss));
    INFO("residual_sq " << results.residual_sq[index] << ", expected " << expected.residual_sq.value << " +- "
                        << expected.residual_sq.error);
    CHECK(within(results.residual_sq[index], expected.residual_sq));
    CHECK(results.correct[index] == (expected.correct ? 1 : 0));
    std::int64_t wrong = -1;
    for (std::int64_t i = 0; i < problem.classes && wrong < 0 && !results.gradient.empty(); ++i) {
      if (!within(results.gradient[problem.at(row, i)], expected.gradient[static_cast<std::size_t>(i)]))
        wrong = i;
    }
    if (wrong >= 0) {
      FAIL_CHECK("gradient[" << wrong << "] is " << results.gradient[problem.at(row, wrong)] << ", expected "
                             << expected.gradient[static_cast<std::size_t>(wrong)].value << " +- "
                             << expected.gradient[static_cast<std::size_t>(wrong)].error);
    }
    std::int64_t wrong_residual = -1;
    for (std::int64_t i = 0; i < problem.classes && !results.residual.empty(); ++i) {
      // One rounding.
      const T r = static_cast<T>(problem.y(row, i)) - problem.output[problem.at(row, i)];
      if (!(results.residual[problem.at(row, i)] == r)) wrong_residual = i;
    }
    CHECK(wrong_residual == -1);
  }
}

}  // namespace qmse::test
