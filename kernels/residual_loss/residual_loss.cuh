// The losses of residual_loss.h on the GPU, as row_loss.cuh wants them.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/residual_loss/residual_loss.h"
#include "kernels/row_loss/row_loss.cuh"

namespace qmse::device {

// Both forms keep the residual of a group.
struct ResidualLossBase {
  static constexpr bool kRedraws = false;
  static constexpr bool kDirection = false;

  struct Row {};
  struct Kept {
    Group<float, 4> difference;  // -r
  };

  __device__ Row begin_row(std::int64_t) const { return Row{}; }
  __device__ void keep(Kept& kept, const Group<float, 4>& difference, const Group<float, 4>&,
                       const Group<float, 4>&) const {
    kept.difference = difference;
  }
  __device__ Group<float, 4> residual(const Kept& kept, const RowGroup&) const {
    return negative(kept.difference);
  }
};

// Depends on ||r||^2 alone.
template <class Rule>
struct NormLoss : ResidualLossBase {
  Rule rule;

  explicit NormLoss(const Rule& r) : rule(r) {}

  struct Sums {
    float residual_sq = 0;
    __device__ void merge(const Sums& other) { residual_sq += other.residual_sq; }
  };
  struct Result {
    float loss;
    float residual_sq;
    float factor;
  };

  __device__ void add(Sums& sums, const Kept& kept, const RowGroup&) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) sums.residual_sq += kept.difference.v[k] * kept.difference.v[k];
  }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    return Result{rule.value(sums.residual_sq), sums.residual_sq,
                  gradient_scale * rule.factor(sums.residual_sq)};
  }
  __device__ float gradient(const Result& result, const Kept& kept, const RowGroup&, int k) const {
    return result.factor * -kept.difference.v[k];
  }
};

// A sum over the outputs.
template <class Rule>
struct ElementLoss : ResidualLossBase {
  Rule rule;

  explicit ElementLoss(const Rule& r) : rule(r) {}

  struct Sums {
    float residual_sq = 0;
    float loss = 0;
    __device__ void merge(const Sums& other) {
      residual_sq += other.residual_sq;
      loss += other.loss;
    }
  };
  struct Result {
    float loss;
    float residual_sq;
    float gradient_scale;
  };

  __device__ void add(Sums& sums, const Kept& kept, const RowGroup& group) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums.residual_sq += kept.difference.v[k] * kept.difference.v[k];
      if (group.has(k)) sums.loss += rule.element_value(-kept.difference.v[k]);
    }
  }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    return Result{sums.loss, sums.residual_sq, gradient_scale};
  }
  __device__ float gradient(const Result& result, const Kept& kept, const RowGroup&, int k) const {
    return result.gradient_scale * rule.element_gradient(-kept.difference.v[k]);
  }
};

}  // namespace qmse::device

namespace qmse {

template <class Rule, class Gpu, class>
void residual_loss(Gpu& gpu, const RowLossArgs<float>& args) {
  using namespace device;
  check_row_loss_args(Rule::kName, args);
  const std::conditional_t<IsSumOverElements<Rule>::value, ElementLoss<Rule>, NormLoss<Rule>> loss{
      Rule(args.classes)};
  if (args.labels != nullptr) {
    row_loss<false>(gpu, args, nullptr, loss);
  } else {
    row_loss<true>(gpu, args, nullptr, loss);
  }
}

}  // namespace qmse
