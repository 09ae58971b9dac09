// Cross-entropy on the GPU: see kernels/row_loss/row_loss.cuh. One pass takes the largest output and the sums
// relative to it together, rescaling them whenever a larger output turns up.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cross_entropy/cross_entropy_math.h"
#include "kernels/row_loss/row_loss.cuh"

namespace qmse {

template <bool kDense>
struct CrossEntropyLoss {
  static constexpr bool kRedraws = false;
  static constexpr bool kDirection = false;

  using Sums = std::conditional_t<kDense, DenseSoftmaxSums<float>, LabelSoftmaxSums<float>>;
  struct Result : CrossEntropyRow<float> {
    float gradient_scale;
  };
  struct Row {};
  struct Kept {
    Quad f;
    Quad y;  // dense targets only
  };

  __device__ Row begin_row(std::int64_t) const { return Row{}; }
  __device__ Kept keep(const Quad&, const Quad& f, const Quad& y) const { return Kept{f, y}; }
  __device__ void add(Sums& sums, const Kept& kept, const Group& group) const {
    float maximum = sums.maximum;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (group.has(k)) maximum = fmaxf(maximum, kept.f.x[k]);
    }
    if (maximum > sums.maximum) sums.rescale(maximum);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (!group.has(k)) continue;
      const float e = softmax_exponential(kept.f.x[k], maximum);
      if constexpr (kDense) {
        sums.add(e, kept.f.x[k], kept.y.x[k]);
      } else {
        sums.add(e, k == group.label_at);
      }
    }
  }
  __device__ Result finish(const Sums& sums, const RowTarget& target, float gradient_scale) const {
    if constexpr (kDense) {
      return Result{sums.finish(), gradient_scale};
    } else {
      return Result{sums.finish(target.label_output), gradient_scale};
    }
  }
  __device__ float gradient(const Result& result, const Kept& kept, const Group& group, int k) const {
    const float target = kDense ? kept.y.x[k] : (k == group.label_at ? 1.0f : 0.0f);
    return result.gradient_scale * result.gradient(result.softmax(kept.f.x[k]), target);
  }
  __device__ Quad residual(const Kept& kept, const Group& group) const {
    Quad r;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      r.x[k] = kDense ? kept.y.x[k] - kept.f.x[k] : one_hot_residual(kept.f.x[k], k == group.label_at);
    }
    return r;
  }
};

template <class Launcher>
void launch_cross_entropy_loss(Launcher& launcher, const RowLossArgs<float>& args) {
  check_row_loss_args("cross_entropy_loss", args);
  if (args.labels != nullptr) {
    launch_row_loss<false>(launcher, args, nullptr, CrossEntropyLoss<false>{});
  } else {
    launch_row_loss<true>(launcher, args, nullptr, CrossEntropyLoss<true>{});
  }
}

}  // namespace qmse
