// The losses that draw v on the GPU: see kernels/row_loss/row_loss.cuh, and QmseRule for what a rule is. v is
// drawn in registers where it is needed.
#pragma once

#include <cstdint>

#include "kernels/qmse/qmse.h"
#include "kernels/row_loss/row_loss.cuh"
#include "random/direction.h"

namespace qmse::device {

// What both distributions of v share.
template <class Rule>
struct DirectedLoss {
  PhiloxKeys keys;
  const std::uint64_t* step;
  const std::uint32_t* redraw;      // null: 0
  const std::uint32_t* sample_ids;  // null: one v for the whole batch
  int classes;
  float magnitude;  // of Rademacher components
  Rule rule;

  struct Row {
    std::uint32_t step;
    std::uint32_t sample;
    std::uint32_t attempt;
  };
  struct Kept {
    Group<float, 4> difference;  // -r
    Group<float, 4> v;           // sphere: the normals n that v = n / |n| comes from
  };
  struct Result {
    float loss;
    float residual_sq;
    typename Rule::template Factors<float> factors;
    float inverse_norm;
  };

  __device__ Row begin_row(std::int64_t row) const {
    return Row{static_cast<std::uint32_t>(*step), sample_ids != nullptr ? sample_ids[row] : kWholeBatch,
               redraw != nullptr ? first_attempt(*redraw) : 0};
  }
  __device__ Result result(float residual_sq, float direction_residual, float inverse_norm,
                           float gradient_scale) const {
    return Result{rule.value(residual_sq, direction_residual), residual_sq,
                  rule.factors(residual_sq, direction_residual, gradient_scale), inverse_norm};
  }
  __device__ PhiloxBlock bits(const Row& row, std::uint32_t block) const {
    return philox4x32_10(random_counter(RandomPurpose::direction, row.attempt, row.step, row.sample, block),
                         keys);
  }
  __device__ void keep(Kept& kept, const Group<float, 4>& difference, const Group<float, 4>&,
                       const Group<float, 4>&) const {
    kept.difference = difference;
  }
  __device__ Group<float, 4> residual(const Kept& kept, const RowGroup&) const {
    return negative(kept.difference);
  }
};

// v uniform on the sphere. The sum over a row takes <n, r>, since <v, r> = <n, r> / |n|, so that |n| may be
// known later.
template <class Rule>
struct SphereLoss : DirectedLoss<Rule> {
  using Base = DirectedLoss<Rule>;
  using typename Base::Kept;
  using typename Base::Result;
  using typename Base::Row;
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
  template <int kGroups>
  struct Draws {};

  template <int kGroups>
  __device__ Draws<kGroups> prepare(const Row&, int, int) const {
    return {};
  }
  template <int kGroups>
  __device__ void draw(Kept& kept, const Row& row, const Draws<kGroups>&, int, int element) const {
    kept.v = normals_from_bits(Base::bits(row, static_cast<std::uint32_t>(element) / 4));
    // A single component is its sign: a normal of length 1, exactly. Such rows have one group.
    if (kGroups == 1 && Base::classes == 1) kept.v.v[0] = direction_component(kept.v.v[0], 0.0f, 1);
  }
  __device__ void add(Sums& sums, const Kept& kept, const RowGroup& group) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums.residual_sq += kept.difference.v[k] * kept.difference.v[k];
      sums.normal_residual += kept.v.v[k] * -kept.difference.v[k];
    }
    const std::uint32_t square = direction_square(kept.v.v[0]) + direction_square(kept.v.v[1]) +
                                 direction_square(kept.v.v[2]) + direction_square(kept.v.v[3]);
    sums.square += group.valid > 0 ? square : 0;
  }
  __device__ bool refused(const Sums& sums) const { return !direction_accept(sums.square, Base::classes); }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    const float inverse_norm = direction_inverse_norm(sums.square);
    return Base::result(sums.residual_sq, sums.normal_residual * inverse_norm, inverse_norm, gradient_scale);
  }
  // direction_component(); draw() took care of c = 1.
  __device__ float component(const Result& result, const Kept& kept, int k) const {
    return mul_rn(kept.v.v[k], result.inverse_norm);
  }
  __device__ Group<float, 4> direction(const Result& result, const Kept& kept) const {
    return Group<float, 4>{{component(result, kept, 0), component(result, kept, 1),
                            component(result, kept, 2), component(result, kept, 3)}};
  }
  __device__ float gradient(const Result& result, const Kept& kept, const RowGroup&, int k) const {
    return Base::rule.gradient(result.factors, -kept.difference.v[k], component(result, kept, k));
  }
};

template <class Rule>
struct RademacherLoss : DirectedLoss<Rule> {
  using Base = DirectedLoss<Rule>;
  using typename Base::Kept;
  using typename Base::Result;
  using typename Base::Row;
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
  template <int kGroups>
  struct Draws {
    std::uint32_t word[kGroups];
  };

  // A block of bits covers 128 components, a word of it 32. A warp that takes several strips of a row draws
  // eight blocks at once, lane i word i / 8 of block i % 8; with several rows a warp each lane draws its own,
  // as its groups, which are so many lanes apart that a block ends between them for all at once, come to them.
  template <int kGroups>
  __device__ Draws<kGroups> prepare(const Row& row, int element, int stride) const {
    const int lane = static_cast<int>(threadIdx.x % 32);
    Draws<kGroups> draws;
    if (kGroups > 1 && stride == kStrip) {
      const PhiloxBlock block = Base::bits(row, static_cast<std::uint32_t>(element / kStrip + lane % 8));
      const std::uint32_t word = word_of(block, element);
#pragma unroll
      for (int j = 0; j < kGroups; ++j) {
        draws.word[j] = __shfl_sync(kFullWarp, word, lane / 8 * 8 + j);
      }
    } else {
      PhiloxBlock block;
#pragma unroll
      for (int j = 0; j < kGroups; ++j) {
        const int first = j * stride;
        if (first % kStrip == 0) block = Base::bits(row, static_cast<std::uint32_t>(first / kStrip));
        draws.word[j] = word_of(block, element + first);
      }
    }
    return draws;
  }
  template <int kGroups>
  __device__ void draw(Kept& kept, const Row&, const Draws<kGroups>& draws, int j, int element) const {
    const std::uint32_t first_bit = static_cast<std::uint32_t>(element) % 32;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      kept.v.v[k] = rademacher_component(draws.word[j], first_bit + k, Base::magnitude);
    }
  }
  __device__ void add(Sums& sums, const Kept& kept, const RowGroup&) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums.residual_sq += kept.difference.v[k] * kept.difference.v[k];
      sums.direction_residual += kept.v.v[k] * -kept.difference.v[k];
    }
  }
  __device__ Result finish(const Sums& sums, const RowTarget&, float gradient_scale) const {
    return Base::result(sums.residual_sq, sums.direction_residual, 1.0f, gradient_scale);
  }
  __device__ Group<float, 4> direction(const Result&, const Kept& kept) const { return kept.v; }
  __device__ float gradient(const Result& result, const Kept& kept, const RowGroup&, int k) const {
    return Base::rule.gradient(result.factors, -kept.difference.v[k], kept.v.v[k]);
  }

 private:
  __device__ static std::uint32_t word_of(const PhiloxBlock& block, int element) {
    const int number = element % kStrip / 32;
    const std::uint32_t low = number % 2 == 0 ? block.x[0] : block.x[1];
    const std::uint32_t high = number % 2 == 0 ? block.x[2] : block.x[3];
    return number < 2 ? low : high;
  }
};

template <class Loss, class Rule, class Gpu>
void directed_loss_of(Gpu& gpu, const QmseArgs<float>& args, const Rule& rule) {
  Loss loss;
  loss.keys = philox_keys(args.options.seed);
  loss.step = args.step;
  loss.redraw = args.redraw;
  loss.sample_ids = args.options.scope == DirectionScope::per_batch ? nullptr : args.sample_ids;
  loss.classes = static_cast<int>(args.row.classes);
  loss.magnitude = rademacher_magnitude(args.row.classes);
  loss.rule = rule;
  if (args.row.labels != nullptr) {
    row_loss<false>(gpu, args.row, args.v, loss);
  } else {
    row_loss<true>(gpu, args.row, args.v, loss);
  }
}

template <class Rule, class Gpu>
void directed_loss(Gpu& gpu, const char* name, const QmseArgs<float>& args, const Rule& rule) {
  check_qmse_args(name, args);
  if (args.options.distribution == DirectionDistribution::sphere) {
    directed_loss_of<SphereLoss<Rule>>(gpu, args, rule);
  } else {
    directed_loss_of<RademacherLoss<Rule>>(gpu, args, rule);
  }
}

}  // namespace qmse::device
