// Baldi and Hornik's closed form (1989, fact 4): of a network y = A B x with h hidden units, without biases,
// and the loss (1/N) sum ||y - A B x||^2 / 2, the critical points belong to subsets I of the eigenvalues l_1
// > l_2 > ... of S = S_yx S_xx^-1 S_xy, with |I| <= h. There
//
//   loss     (tr S_yy - sum_I l_i) / 2
//   index    #{(i, j): i in I, j not in I, l_j > l_i} + (h - m)(r - m), m = |I|, r = min(inputs, outputs)
//   nullity  h^2 - (h - m)^2 + (h - m)(inputs + outputs - 2 r)
//
// (index and nullity at the points with A of rank m and no more, derived from the Hessian there).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/mlp/samples.h"

namespace qmse {

class LinearTheory {
 public:
  // ConfigError where S_xx is singular or eigenvalues of S are not distinct.
  explicit LinearTheory(const Samples& samples);

  std::int64_t rank() const { return rank_; }
  const std::vector<double>& eigenvalues() const { return values_; }  // descending, rank() of them

  using Indices = std::vector<std::int64_t>;  // ascending, from 0
  std::vector<Indices> subsets(std::int64_t hidden) const;
  Indices best(std::int64_t hidden) const;
  double loss(const Indices& subset) const;
  std::int64_t index(const Indices& subset, std::int64_t hidden) const;
  std::int64_t nullity(const Indices& subset, std::int64_t hidden) const;

  // The subset that a critical point with these weights (B, then A) belongs to: the share of each eigenvector
  // that its map explains, which is 0 or 1, and how far from that it is at most.
  struct Subset {
    Indices members;
    double deviation = 0;
  };
  Subset subset(std::span<const double> weights, std::int64_t hidden) const;

  // b (inputs), then a (outputs), so that a b^T is the best map of rank 1, both of the same length.
  std::vector<double> best_rank_one() const;

 private:
  std::int64_t inputs_, outputs_, rank_;
  double trace_yy_ = 0;
  std::vector<double> xx_, values_, vectors_;  // S_xx; of S: eigenvalues, and eigenvectors by rows
  std::vector<double> regression_;             // S_yx S_xx^-1, outputs x inputs
};

}  // namespace qmse
