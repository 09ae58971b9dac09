// QMSE on the GPU: see kernels/row_loss/row_loss.cuh. v is drawn in registers where it is needed.
#pragma once

#include <cstdint>

#include "kernels/core/direction.h"
#include "kernels/qmse/qmse.h"
#include "kernels/qmse/qmse_math.h"
#include "kernels/row_loss/residual_loss.cuh"
#include "kernels/row_loss/row_loss.cuh"

namespace qmse {

// What both distributions of v share.
struct QmseSettings {
  std::uint64_t seed;
  const std::uint64_t* step;
  const std::uint32_t* sample_ids;  // null: one v for the whole batch
  int classes;
  float residual_multiple;
  float magnitude;  // of Rademacher components

  struct Row {
    std::uint32_t step;
    std::uint32_t sample;
    std::uint32_t attempt;
  };
  template <bool kDense>
  struct Kept {
    Quad r;
    Quad v;  // sphere: the normals n that v = n / |n| comes from
  };
  struct Result {
    float loss;
    float residual_sq;
    float a;
    float inverse_norm;
  };

  __device__ Row begin_row(std::int64_t row) const {
    return Row{static_cast<std::uint32_t>(*step), sample_ids != nullptr ? sample_ids[row] : kWholeBatch, 0};
  }
  __device__ Result result(float residual_sq, float direction_residual, float inverse_norm) const {
    const float a = qmse_a(residual_sq, direction_residual);
    return Result{qmse_value(a), residual_sq, a, inverse_norm};
  }
  template <bool kDense>
  __device__ Quad residual(const Kept<kDense>& kept, const Group&) const {
    return kept.r;
  }
};

// v uniform on the sphere. The sum over a row takes <n, r>, since <v, r> = <n, r> / |n|, so that |n| may be
// known later.
struct QmseSphereLoss : QmseSettings {
  static constexpr bool kRedraws = true;
  static constexpr bool kDirection = true;

  struct Sums {
    float residual_sq = 0;
    float normal_residual = 0;
    std::uint64_t square = 0;  // of n, see direction_square()
    __device__ void merge(const Sums& other) {
      residual_sq += other.residual_sq;
      normal_residual += other.normal_residual;
      square += other.square;
    }
  };
  struct Draws {};

  template <int kGroups>
  __device__ Draws prepare(const Row&, const LanePlace&) const {
    return Draws{};
  }
  __device__ Quad normals(const Row& row, const Group& group) const {
    const NormalQuad n = direction_normals(seed, row.attempt, row.step, row.sample,
                                           static_cast<std::uint32_t>(group.element) / 4);
    Quad quad;
#pragma unroll
    for (int k = 0; k < 4; ++k) quad.x[k] = group.has(k) ? n.n[k] : 0.0f;
    // A single component is its sign: a normal of length 1, exactly.
    if (classes == 1) quad.x[0] = direction_component(quad.x[0], 0.0f, 1);
    return quad;
  }
  template <bool kDense>
  __device__ Kept<kDense> keep(const Row& row, const Draws&, int, const Group& group, const Quad& f,
                               const Quad& y) const {
    return Kept<kDense>{group_residual<kDense>(group, f, y), normals(row, group)};
  }
  template <bool kDense>
  __device__ void redraw(Kept<kDense>& kept, const Row& row, const Group& group) const {
    kept.v = normals(row, group);
  }
  template <bool kDense>
  __device__ void add(Sums& sums, const Kept<kDense>& kept, const Group&) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums.residual_sq += kept.r.x[k] * kept.r.x[k];
      sums.normal_residual += kept.v.x[k] * kept.r.x[k];
    }
    // Two squares fit 32 bits.
    sums.square += direction_square(kept.v.x[0]) + direction_square(kept.v.x[1]);
    sums.square += direction_square(kept.v.x[2]) + direction_square(kept.v.x[3]);
  }
  __device__ bool refused(const Sums& sums) const { return !direction_accept(sums.square, classes); }
  __device__ Result finish(const Sums& sums, const RowTarget&) const {
    const float inverse_norm = direction_inverse_norm(sums.square);
    return result(sums.residual_sq, sums.normal_residual * inverse_norm, inverse_norm);
  }
  template <bool kDense>
  __device__ float direction(const Result& result, const Kept<kDense>& kept, int k) const {
    return mul_rn(kept.v.x[k], result.inverse_norm);  // direction_component(); normals() took care of c = 1
  }
  template <bool kDense>
  __device__ float gradient(const Result& result, const Kept<kDense>& kept, const Group&, int k) const {
    return qmse_gradient(result.a, residual_multiple, kept.r.x[k], direction(result, kept, k));
  }
};

struct QmseRademacherLoss : QmseSettings {
  static constexpr bool kRedraws = false;
  static constexpr bool kDirection = true;

  struct Sums {
    float residual_sq = 0;
    float direction_residual = 0;
    __device__ void merge(const Sums& other) {
      residual_sq += other.residual_sq;
      direction_residual += other.direction_residual;
    }
  };
  struct Draws {
    std::uint32_t word;
    bool several_strips;
  };

  // One block of bits covers a strip: four words, for eight lanes each. A warp that goes through several
  // strips draws eight blocks at once, lane i word i / 8 of block i % 8.
  template <int kGroups>
  __device__ Draws prepare(const Row& row, const LanePlace& place) const {
    static_assert(kGroups <= 8);
    const std::uint32_t lane = threadIdx.x % 32;
    const std::uint32_t group = static_cast<std::uint32_t>(place.element) / 4;
    const std::uint32_t strip = group / 32;
    const PhiloxBlock bits =
        rademacher_bits(seed, row.step, row.sample, kGroups == 1 ? strip : strip + lane % 8);
    const std::uint32_t word = group % 32 / 8;
    const std::uint32_t low = word % 2 == 0 ? bits.x[0] : bits.x[1];
    const std::uint32_t high = word % 2 == 0 ? bits.x[2] : bits.x[3];
    return Draws{word < 2 ? low : high, kGroups > 1};
  }
  template <bool kDense>
  __device__ Kept<kDense> keep(const Row&, const Draws& draws, int strip, const Group& group, const Quad& f,
                               const Quad& y) const {
    std::uint32_t word = draws.word;
    if (draws.several_strips) {
      word = __shfl_sync(kFullWarp, word, static_cast<int>(threadIdx.x % 32 / 8 * 8) + strip);
    }
    Kept<kDense> kept{group_residual<kDense>(group, f, y), Quad()};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t bit = static_cast<std::uint32_t>(group.element) % 32 + k;
      if (group.has(k)) kept.v.x[k] = rademacher_component(word, bit, magnitude);
    }
    return kept;
  }
  template <bool kDense>
  __device__ void add(Sums& sums, const Kept<kDense>& kept, const Group&) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums.residual_sq += kept.r.x[k] * kept.r.x[k];
      sums.direction_residual += kept.v.x[k] * kept.r.x[k];
    }
  }
  __device__ Result finish(const Sums& sums, const RowTarget&) const {
    return result(sums.residual_sq, sums.direction_residual, 1.0f);
  }
  template <bool kDense>
  __device__ float direction(const Result&, const Kept<kDense>& kept, int k) const {
    return kept.v.x[k];
  }
  template <bool kDense>
  __device__ float gradient(const Result& result, const Kept<kDense>& kept, const Group&, int k) const {
    return qmse_gradient(result.a, residual_multiple, kept.r.x[k], kept.v.x[k]);
  }
};

template <class Loss, class Launcher>
void launch_qmse_loss(Launcher& launcher, const QmseArgs<float>& args) {
  Loss loss;
  loss.seed = args.seed;
  loss.step = args.step;
  loss.sample_ids = args.scope == DirectionScope::per_batch ? nullptr : args.sample_ids;
  loss.classes = static_cast<int>(args.row.classes);
  loss.residual_multiple = qmse_residual_multiple<float>(args.q_gradient == QGradient::full);
  loss.magnitude = rademacher_magnitude(args.row.classes);
  if (args.row.labels != nullptr) {
    launch_row_loss<false>(launcher, args.row, args.v, loss);
  } else {
    launch_row_loss<true>(launcher, args.row, args.v, loss);
  }
}

template <class Launcher>
void launch_qmse_loss(Launcher& launcher, const QmseArgs<float>& args) {
  check_qmse_args(args);
  if (args.distribution == Direction::sphere) {
    launch_qmse_loss<QmseSphereLoss>(launcher, args);
  } else {
    launch_qmse_loss<QmseRademacherLoss>(launcher, args);
  }
}

template <class Launcher>
void launch_qmse_expected_loss(Launcher& launcher, const RowLossArgs<float>& args) {
  check_row_loss_args("qmse_expected_loss", args);
  launch_residual_loss(launcher, args, QmseExpectedFormula{static_cast<std::int32_t>(args.classes)});
}

}  // namespace qmse
