#include "analysis/landscape/linear_theory.h"

#include <algorithm>
#include <cmath>

#include "algebra/dense.h"
#include "algebra/norm.h"
#include "base/error.h"

namespace qmse {
namespace {

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

}  // namespace

LinearTheory::LinearTheory(const Samples& samples)
    : inputs_(samples.inputs), outputs_(samples.outputs), rank_(std::min(samples.inputs, samples.outputs)) {
  const auto count = static_cast<double>(samples.count);
  std::vector<double> yx(at(outputs_ * inputs_));
  xx_.resize(at(inputs_ * inputs_));
  for (std::int64_t n = 0; n < samples.count; ++n) {
    for (std::int64_t k = 0; k < inputs_; ++k) {
      for (std::int64_t j = 0; j < inputs_; ++j)
        xx_[at(k * inputs_ + j)] += samples.input(n, k) * samples.input(n, j) / count;
      for (std::int64_t o = 0; o < outputs_; ++o)
        yx[at(o * inputs_ + k)] += samples.target(n, o) * samples.input(n, k) / count;
    }
    for (std::int64_t o = 0; o < outputs_; ++o)
      trace_yy_ += samples.target(n, o) * samples.target(n, o) / count;
  }
  const SymmetricEigen of_inputs = symmetric_eigen(xx_, inputs_);
  if (!(of_inputs.values.front() > 1e-12 * of_inputs.values.back()))
    throw ConfigError("the inputs are linearly dependent: the closed form needs S_xx to be invertible");
  regression_.resize(at(outputs_ * inputs_));
  for (std::int64_t o = 0; o < outputs_; ++o) {
    for (std::int64_t e = 0; e < inputs_; ++e) {
      const double* vector = of_inputs.vectors.data() + e * inputs_;
      double along = 0;
      for (std::int64_t k = 0; k < inputs_; ++k) along += yx[at(o * inputs_ + k)] * vector[k];
      for (std::int64_t k = 0; k < inputs_; ++k)
        regression_[at(o * inputs_ + k)] += along / of_inputs.values[at(e)] * vector[k];
    }
  }
  std::vector<double> s(at(outputs_ * outputs_));
  for (std::int64_t o = 0; o < outputs_; ++o) {
    for (std::int64_t p = 0; p < outputs_; ++p) {
      for (std::int64_t k = 0; k < inputs_; ++k) {
        s[at(o * outputs_ + p)] += 0.5 * (regression_[at(o * inputs_ + k)] * yx[at(p * inputs_ + k)] +
                                          regression_[at(p * inputs_ + k)] * yx[at(o * inputs_ + k)]);
      }
    }
  }
  const SymmetricEigen of_outputs = symmetric_eigen(s, outputs_);
  for (std::int64_t i = 0; i < rank_; ++i) {
    values_.push_back(of_outputs.values[at(outputs_ - 1 - i)]);
    const double* vector = of_outputs.vectors.data() + (outputs_ - 1 - i) * outputs_;
    vectors_.insert(vectors_.end(), vector, vector + outputs_);
    const double above = i == 0 ? 0 : values_[at(i - 1)] - values_[at(i)];
    if (values_[at(i)] <= 1e-9 * values_.front() || (i > 0 && above <= 1e-9 * values_.front()))
      throw ConfigError(
          "the eigenvalues of S_yx S_xx^-1 S_xy are not distinct and positive, as the closed form needs");
  }
}

std::vector<LinearTheory::Indices> LinearTheory::subsets(std::int64_t hidden) const {
  std::vector<Indices> all;
  for (std::int64_t bits = 0; bits < (std::int64_t{1} << rank_); ++bits) {
    Indices subset;
    for (std::int64_t i = 0; i < rank_; ++i) {
      if ((bits >> i) & 1) subset.push_back(i);
    }
    if (static_cast<std::int64_t>(subset.size()) <= hidden) all.push_back(std::move(subset));
  }
  std::sort(all.begin(), all.end(), [&](const Indices& a, const Indices& b) { return loss(a) < loss(b); });
  return all;
}

LinearTheory::Indices LinearTheory::best(std::int64_t hidden) const {
  Indices subset;
  for (std::int64_t i = 0; i < std::min(hidden, rank_); ++i) subset.push_back(i);
  return subset;
}

double LinearTheory::loss(const Indices& subset) const {
  double sum = trace_yy_;
  for (const std::int64_t i : subset) sum -= values_[at(i)];
  return 0.5 * sum;
}

std::int64_t LinearTheory::index(const Indices& subset, std::int64_t hidden) const {
  const auto m = static_cast<std::int64_t>(subset.size());
  std::int64_t pairs = 0;
  for (const std::int64_t i : subset) {
    for (std::int64_t j = 0; j < i; ++j) pairs += std::find(subset.begin(), subset.end(), j) == subset.end();
  }
  return pairs + (hidden - m) * (rank_ - m);
}

std::int64_t LinearTheory::nullity(const Indices& subset, std::int64_t hidden) const {
  const std::int64_t free = hidden - static_cast<std::int64_t>(subset.size());
  return hidden * hidden - free * free + free * (inputs_ + outputs_ - 2 * rank_);
}

LinearTheory::Subset LinearTheory::subset(std::span<const double> weights, std::int64_t hidden) const {
  Subset result;
  for (std::int64_t i = 0; i < rank_; ++i) {
    // u^T (A B) S_xx (A B)^T u against l, for the eigenvector u.
    std::vector<double> row(at(inputs_));
    for (std::int64_t h = 0; h < hidden; ++h) {
      double along = 0;
      for (std::int64_t o = 0; o < outputs_; ++o)
        along += vectors_[at(i * outputs_ + o)] * weights[at(hidden * inputs_ + o * hidden + h)];
      for (std::int64_t k = 0; k < inputs_; ++k) row[at(k)] += along * weights[at(h * inputs_ + k)];
    }
    double energy = 0;
    for (std::int64_t k = 0; k < inputs_; ++k) {
      for (std::int64_t j = 0; j < inputs_; ++j) energy += row[at(k)] * xx_[at(k * inputs_ + j)] * row[at(j)];
    }
    const double share = energy / values_[at(i)];
    if (share > 0.5) result.members.push_back(i);
    result.deviation = std::max(result.deviation, std::abs(share - (share > 0.5 ? 1.0 : 0.0)));
  }
  return result;
}

std::vector<double> LinearTheory::best_rank_one() const {
  std::vector<double> factors(at(inputs_));
  for (std::int64_t k = 0; k < inputs_; ++k) {
    for (std::int64_t o = 0; o < outputs_; ++o)
      factors[at(k)] += vectors_[at(o)] * regression_[at(o * inputs_ + k)];
  }
  const double scale = std::sqrt(norm(factors));  // both factors get the root of the map's length
  for (double& value : factors) value /= scale;
  for (std::int64_t o = 0; o < outputs_; ++o) factors.push_back(scale * vectors_[at(o)]);
  return factors;
}

}  // namespace qmse
