// Cross-entropy on the GPU: see kernels/row_loss/row_loss.cuh. One pass takes the largest output and the sums
// relative to it together, rescaling them whenever a larger output turns up.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cross_entropy/cross_entropy_math.h"
#include "kernels/row_loss/row_loss.cuh"

namespace qmse::device {

template <bool kDense>
struct CrossEntropyRows {
  static constexpr bool kRedraws = false;
  static constexpr bool kDirection = false;

  using Sums = std::conditional_t<kDense, DenseSoftmaxSums<float>, LabelSoftmaxSums<float>>;
  struct Result : CrossEntropyRow<float> {
    float gradient_scale;
  };
  struct Row {};
  struct Kept {
    Group<float, 4> f;
    Group<float, 4> y;  // dense targets only
  };

  __device__ Row begin_row(std::int64_t) const { return Row{}; }
  __device__ void keep(Kept& kept, const Group<float, 4>&, const Group<float, 4>& f,
                       const Group<float, 4>& y) const {
    kept = Kept{f, y};
  }
  __device__ void add(Sums& sums, const Kept& kept, const RowGroup& group) const {
    float maximum = sums.maximum;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (group.has(k)) maximum = fmaxf(maximum, kept.f.v[k]);
    }
    if (maximum > sums.maximum) sums.rescale(maximum);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (!group.has(k)) continue;
      const float e = softmax_exponential(kept.f.v[k], maximum);
      if constexpr (kDense) {
        sums.add(e, kept.f.v[k], kept.y.v[k]);
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
  __device__ float gradient(const Result& result, const Kept& kept, const RowGroup& group, int k) const {
    const float target = kDense ? kept.y.v[k] : (k == group.label_at ? 1.0f : 0.0f);
    return result.gradient_scale * result.gradient(result.softmax(kept.f.v[k]), target);
  }
  __device__ Group<float, 4> residual(const Kept& kept, const RowGroup& group) const {
    Group<float, 4> r;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      r.v[k] = kDense ? kept.y.v[k] - kept.f.v[k] : one_hot_residual(kept.f.v[k], k == group.label_at);
    }
    return r;
  }
};

}  // namespace qmse::device

namespace qmse {

template <class Gpu>
void cross_entropy_loss(Gpu& gpu, const RowLossArgs<float>& args) {
  using namespace device;
  check_row_loss_args("cross_entropy_loss", args);
  if (args.labels != nullptr) {
    row_loss<false>(gpu, args, nullptr, CrossEntropyRows<false>{});
  } else {
    row_loss<true>(gpu, args, nullptr, CrossEntropyRows<true>{});
  }
}

}  // namespace qmse
