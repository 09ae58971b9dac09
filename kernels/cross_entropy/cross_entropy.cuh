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
  using Result = CrossEntropyRow<float>;
  struct Row {};
  struct Draws {};
  template <bool>
  struct Kept {
    Quad f;
    Quad y;  // dense targets only
  };

  __device__ Row begin_row(std::int64_t) const { return Row{}; }
  template <int kGroups>
  __device__ Draws prepare(const Row&, const LanePlace&) const {
    return Draws{};
  }
  template <bool>
  __device__ Kept<kDense> keep(const Row&, const Draws&, int, const Group&, const Quad& f,
                               const Quad& y) const {
    return Kept<kDense>{f, y};
  }
  __device__ void add(Sums& sums, const Kept<kDense>& kept, const Group& group) const {
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
  __device__ Result finish(const Sums& sums, const RowTarget& target) const {
    if constexpr (kDense) {
      return sums.finish();
    } else {
      return sums.finish(target.label_output);
    }
  }
  __device__ float gradient(const Result& result, const Kept<kDense>& kept, const Group& group, int k) const {
    const float target = kDense ? kept.y.x[k] : (k == group.label_at ? 1.0f : 0.0f);
    return result.gradient(result.softmax(kept.f.x[k]), target);
  }
  __device__ Quad residual(const Kept<kDense>& kept, const Group& group) const {
    return group_residual<kDense>(group, kept.f, kept.y);
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
