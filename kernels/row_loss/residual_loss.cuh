// A loss that depends on the residual through ||r||^2 alone, as row_loss.cuh wants it. Formula as in
// mse_math.h.
#pragma once

#include <cstdint>

#include "kernels/row_loss/row_loss.cuh"

namespace qmse {

template <class Formula>
struct ResidualLoss {
  static constexpr bool kRedraws = false;
  static constexpr bool kDirection = false;

  Formula formula;

  struct Sums {
    float residual_sq = 0;
    __device__ void merge(const Sums& other) { residual_sq += other.residual_sq; }
  };
  struct Row {};
  struct Kept {
    Quad difference;  // -r
  };
  struct Result {
    float loss;
    float residual_sq;
    float factor;
  };

  __device__ Row begin_row(std::int64_t) const { return Row{}; }
  __device__ Kept keep(const Quad& difference, const Quad&, const Quad&) const { return Kept{difference}; }
  __device__ void add(Sums& sums, const Kept& kept, const Group&) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) sums.residual_sq += kept.difference.x[k] * kept.difference.x[k];
  }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    return Result{formula.value(sums.residual_sq), sums.residual_sq,
                  gradient_scale * formula.factor(sums.residual_sq)};
  }
  __device__ float gradient(const Result& result, const Kept& kept, const Group&, int k) const {
    return result.factor * -kept.difference.x[k];
  }
  __device__ Quad residual(const Kept& kept, const Group&) const { return negative(kept.difference); }
};

template <class Formula, class Launcher>
void launch_residual_loss(Launcher& launcher, const RowLossArgs<float>& args, const Formula& formula) {
  const ResidualLoss<Formula> loss{formula};
  if (args.labels != nullptr) {
    launch_row_loss<false>(launcher, args, nullptr, loss);
  } else {
    launch_row_loss<true>(launcher, args, nullptr, loss);
  }
}

}  // namespace qmse
