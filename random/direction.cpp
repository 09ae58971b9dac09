#include "random/direction.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace qmse {
namespace {

// Blocks drawn side by side, one to a vector lane: direction_normals() with its loops turned inside out, so
// that the compiler vectorises the loops over lanes.
constexpr std::uint32_t kLanes = 8;
constexpr std::int64_t kGroup = 4 * kLanes;  // components of one group of blocks

struct Lanes {
  alignas(32) std::uint32_t x[4][kLanes];
};

void draw_group(std::uint64_t seed, std::uint32_t attempt, std::uint32_t step, std::uint32_t sample,
                std::uint32_t first_block, float* normals) {
  Lanes lanes;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const PhiloxBlock counter =
        random_counter(RandomPurpose::direction, attempt, step, sample, first_block + lane);
    for (int i = 0; i < 4; ++i) lanes.x[i][lane] = counter.x[i];
  }
  std::uint32_t key0 = static_cast<std::uint32_t>(seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const PhiloxBlock in{{lanes.x[0][lane], lanes.x[1][lane], lanes.x[2][lane], lanes.x[3][lane]}};
      const PhiloxBlock out = philox_round(in, key0, key1);
      for (int i = 0; i < 4; ++i) lanes.x[i][lane] = out.x[i];
    }
    key0 += kPhiloxKeyStep0;
    key1 += kPhiloxKeyStep1;
  }
  alignas(32) float group[4][kLanes];
  for (int i = 0; i < 4; i += 2) {
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const NormalPair pair = normals_from_bits(lanes.x[i][lane], lanes.x[i + 1][lane]);
      group[i][lane] = pair.a;
      group[i + 1][lane] = pair.b;
    }
  }
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 4; ++i) normals[4 * lane + i] = group[i][lane];
  }
}

// Writes the c normals of one attempt and returns the sum of direction_square().
std::uint64_t draw_attempt(std::uint64_t seed, std::uint32_t attempt, std::uint32_t step,
                           std::uint32_t sample, std::int64_t c, float* normals) {
  std::uint64_t sum = 0;
  for (std::int64_t first = 0; first < c; first += kGroup) {
    const std::int64_t count = std::min(kGroup, c - first);
    alignas(32) float last[kGroup];
    float* group = count == kGroup ? normals + first : last;
    draw_group(seed, attempt, step, sample, static_cast<std::uint32_t>(first / 4), group);
    for (std::int64_t i = 0; i < count; ++i) sum += direction_square(group[i]);
    if (group == last) std::copy(last, last + count, normals + first);
  }
  return sum;
}

void draw_sphere(std::uint64_t seed, std::uint32_t attempt, std::uint32_t step, std::uint32_t sample,
                 std::int64_t c, float* v) {
  std::uint64_t sum = draw_attempt(seed, attempt, step, sample, c, v);
  while (!direction_accept(sum, c)) sum = draw_attempt(seed, ++attempt, step, sample, c, v);
  const float inverse_norm = direction_inverse_norm(sum);
  for (std::int64_t i = 0; i < c; ++i) v[i] = direction_component(v[i], inverse_norm, c);
}

void draw_rademacher(std::uint64_t seed, std::uint32_t attempt, std::uint32_t step, std::uint32_t sample,
                     std::int64_t c, float* v) {
  const float magnitude = rademacher_magnitude(c);
  for (std::int64_t first = 0; first < c; first += kRademacherBlock) {
    const PhiloxBlock bits =
        rademacher_bits(seed, attempt, step, sample, static_cast<std::uint32_t>(first / kRademacherBlock));
    const auto count = static_cast<std::uint32_t>(std::min(kRademacherBlock, c - first));
    for (std::uint32_t i = 0; i < count; ++i) {
      v[first + i] = rademacher_component(bits.x[i / 32], i % 32, magnitude);
    }
  }
}

}  // namespace

void draw_direction(DirectionDistribution distribution, std::uint64_t seed, std::uint32_t step,
                    std::uint32_t sample, std::int64_t c, float* v, std::uint32_t redraw) {
  if (c < 1 || c > 0xFFFFFFFF) {
    throw ShapeError("draw_direction: v needs 1 to 2^32-1 components, not " + std::to_string(c));
  }
  if (distribution == DirectionDistribution::sphere) {
    draw_sphere(seed, first_attempt(redraw), step, sample, c, v);
  } else {
    draw_rademacher(seed, first_attempt(redraw), step, sample, c, v);
  }
}

}  // namespace qmse
