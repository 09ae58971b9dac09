// The random unit vector v of the QMSE loss, bit-equal on every backend, for every launch shape and number of
// threads. C++17: included by device code.
//
// v in R^c belongs to (seed, step, sample); its bits come from the counter (direction and attempt, step,
// sample, block), see random_bits() in philox.h.
//
// Sphere: v = n / |n| with c standard normals n, uniform on the unit sphere. Component i is number i % 4 of
// block i / 4. The norm must not depend on the order of summation, so the squares are summed as integers: q_i
// = n_i^2 in units of 2^-25, rounded to nearest. n_i^2 < 44.4 keeps q_i below 2^31, and a uint64 sum is exact
// for every c < 2^32.
//   Error of |v|: rounding n_i^2 to f32 changes |n| by at most 2^-25 (relative), the integer unit by at most
//   c / (4 S), S being the sum; then S to f32 and the division give 2^-25 each, the square root 2^-24, the
//   product with n_i 2^-24. In all 3.5 * 2^-24 + c / (4 S), where 3.5 * 2^-24 = 2.1e-7 is a worst case that
//   roundings of random sign stay well below. Since S is about c * 2^25, the last term is about 2^-27; only a
//   short n could spoil it. So a draw with |n|^2 < c/16, that is S < c * 2^21, is rejected and drawn again
//   with attempt + 1, which bounds the term by 2^-23. v stays exactly uniform, because rejection looks at the
//   radius alone. P(chi^2_c < c/16) is 6 % for c = 2, 2e-5 for c = 10, and by Chernoff's bound at most
//   (e^(15/16) / 16)^(c/2): below 3e-26 from c = 64 on, where it is not looked at any more. Observed over the
//   tests' draws: | |v| - 1 | < 2e-7.
// c = 1: v is exactly +1 or -1, the sign of n.
//
// Rademacher: v_i = +1/sqrt(c) or -1/sqrt(c), rounded to f32. Component i takes bit i % 128 of block i / 128
// (bit b of a block is bit b % 32 of word b / 32); a set bit is the minus sign.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/choice.h"
#include "base/host_device.h"
#include "random/normal.h"
#include "random/philox.h"

namespace qmse {

enum class DirectionDistribution { sphere, rademacher };
constexpr std::array<Choice<DirectionDistribution>, 2> choices(DirectionDistribution) {
  return {{{DirectionDistribution::sphere, "sphere"}, {DirectionDistribution::rademacher, "rademacher"}}};
}

// One v for every sample, or one for the whole batch.
enum class DirectionScope { per_sample, per_batch };
constexpr std::array<Choice<DirectionScope>, 2> choices(DirectionScope) {
  return {{{DirectionScope::per_sample, "per_sample"}, {DirectionScope::per_batch, "per_batch"}}};
}

// The `sample` of the one v of a batch under DirectionScope::per_batch.
constexpr std::uint32_t kWholeBatch = 0xFFFFFFFFu;

// The four normals of components 4 * block .. 4 * block + 3; those from c on are not used.
QMSE_HOST_DEVICE inline Group<float, 4> direction_normals(std::uint64_t seed, std::uint32_t attempt,
                                                          std::uint32_t step, std::uint32_t sample,
                                                          std::uint32_t block) {
  return normals_from_bits(random_bits(seed, RandomPurpose::direction, attempt, step, sample, block));
}

// n^2 in units of 2^-25, below 2^31; the four of one block sum to less than
// 2^32. Add up in uint64, in any order.
QMSE_HOST_DEVICE inline std::uint32_t direction_square(float n) {
  const float scaled = fma_rn(mul_rn(n, 0x1p25f), n, 0.5f);
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(scaled));
}

// From this many components on every draw is accepted, and a kernel need not test for rejection.
constexpr std::int64_t kDirectionAlwaysAccepted = 64;

// Whether the draw with this sum of direction_square() is used; if not, draw again with the next attempt.
QMSE_HOST_DEVICE inline bool direction_accept(std::uint64_t sum, std::int64_t c) {
  return c == 1 || c >= kDirectionAlwaysAccepted || sum >= static_cast<std::uint64_t>(c) << 21;
}

// 1 / |n| for an accepted draw.
QMSE_HOST_DEVICE inline float direction_inverse_norm(std::uint64_t sum) {
  return sqrt_rn(div_rn(0x1p25f, float_from_int64_rn(static_cast<std::int64_t>(sum))));
}

// v_i from n_i.
QMSE_HOST_DEVICE inline float direction_component(float n, float inverse_norm, std::int64_t c) {
  return c == 1 ? float_from_bits(0x3F800000u | (bits_from_float(n) & 0x80000000u)) : mul_rn(n, inverse_norm);
}

// 1 / sqrt(c), correctly rounded. Host only: a kernel takes it as an argument.
inline float rademacher_magnitude(std::int64_t c) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(c)));
}

constexpr std::int64_t kRademacherBlock = 128;  // components to a block of bits

// The signs of components 128 * block .. 128 * block + 127.
QMSE_HOST_DEVICE inline PhiloxBlock rademacher_bits(std::uint64_t seed, std::uint32_t attempt,
                                                    std::uint32_t step, std::uint32_t sample,
                                                    std::uint32_t block) {
  return random_bits(seed, RandomPurpose::direction, attempt, step, sample, block);
}

// v_i from its word of signs, word (i % 128) / 32 of its block, and bit = i % 32.
QMSE_HOST_DEVICE inline float rademacher_component(std::uint32_t word, std::uint32_t bit, float magnitude) {
  return float_from_bits(bits_from_float(magnitude) ^ ((word >> bit) << 31));
}

// A v that is wanted again, for the redraw-th time, counts its attempts from here: refused draws do not come
// near so many.
QMSE_HOST_DEVICE inline std::uint32_t first_attempt(std::uint32_t redraw) { return redraw << 12; }
constexpr std::int64_t kMaxRedraws = 4095;

// Writes v[c], that of the redraw-th time. Throws ShapeError unless 1 <= c < 2^32.
void draw_direction(DirectionDistribution distribution, std::uint64_t seed, std::uint32_t step,
                    std::uint32_t sample, std::int64_t c, float* v, std::uint32_t redraw = 0);

}  // namespace qmse
