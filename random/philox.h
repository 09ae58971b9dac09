// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy
// as 1, 2, 3" (SC 2011), and the layout of qmse's counters. C++17: included by device code.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace qmse {

struct PhiloxBlock {
  std::uint32_t x[4];
};

// What a stream of random numbers is for. The values are part of the
// file format: recorded runs depend on them.
enum class RandomPurpose : std::uint32_t {
  initial_weights = 1,
  data_order = 2,
  direction = 3,
  problem = 4,     // choice of samples, random labels
  start = 5,       // where a search begins
  step_noise = 6,  // noise that is added to steps
  resampling = 7,  // bootstrap
  probe = 8,       // random directions of a test
  test = 255
};

QMSE_HOST_DEVICE inline void philox_multiply(std::uint32_t a, std::uint32_t b, std::uint32_t& high,
                                             std::uint32_t& low) {
#if defined(__CUDA_ARCH__)
  high = __umulhi(
      a, b);  // nvcc makes one multiplication of the two, and of a 64-bit product one and an addition
  low = a * b;
#else
  const std::uint64_t product = static_cast<std::uint64_t>(a) * b;
  high = static_cast<std::uint32_t>(product >> 32);
  low = static_cast<std::uint32_t>(product);
#endif
}

QMSE_HOST_DEVICE inline PhiloxBlock philox_round(const PhiloxBlock& counter, std::uint32_t key0,
                                                 std::uint32_t key1) {
  std::uint32_t high0, low0, high1, low1;
  philox_multiply(0xD2511F53u, counter.x[0], high0, low0);
  philox_multiply(0xCD9E8D57u, counter.x[2], high1, low1);
  return PhiloxBlock{{high1 ^ counter.x[1] ^ key0, low1, high0 ^ counter.x[3] ^ key1, low0}};
}

constexpr int kPhiloxRounds = 10;
constexpr std::uint32_t kPhiloxKeyStep0 = 0x9E3779B9u;  // added to the key's halves after each round
constexpr std::uint32_t kPhiloxKeyStep1 = 0xBB67AE85u;

// The keys of the rounds. A kernel may take them as an argument instead of adding them up in every thread.
struct PhiloxKeys {
  std::uint32_t key0[kPhiloxRounds];
  std::uint32_t key1[kPhiloxRounds];
};

QMSE_HOST_DEVICE inline PhiloxKeys philox_keys(std::uint64_t key) {
  PhiloxKeys keys;
  keys.key0[0] = static_cast<std::uint32_t>(key);
  keys.key1[0] = static_cast<std::uint32_t>(key >> 32);
  for (int round = 1; round < kPhiloxRounds; ++round) {
    keys.key0[round] = keys.key0[round - 1] + kPhiloxKeyStep0;
    keys.key1[round] = keys.key1[round - 1] + kPhiloxKeyStep1;
  }
  return keys;
}

// Ten rounds over (counter, key).
QMSE_HOST_DEVICE inline PhiloxBlock philox4x32_10(PhiloxBlock counter, const PhiloxKeys& keys) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    counter = philox_round(counter, keys.key0[round], keys.key1[round]);
  }
  return counter;
}

QMSE_HOST_DEVICE inline PhiloxBlock philox4x32_10(const PhiloxBlock& counter, std::uint64_t key) {
  return philox4x32_10(counter, philox_keys(key));
}

// The one layout of counters. `block` counts groups of four components; `sample` is the sample's index in the
// data set (or whatever the purpose counts); `step` the training step; `attempt` starts at 0 and grows where
// a draw is rejected.
QMSE_HOST_DEVICE inline PhiloxBlock random_counter(RandomPurpose purpose, std::uint32_t attempt,
                                                   std::uint32_t step, std::uint32_t sample,
                                                   std::uint32_t block) {
  const std::uint32_t purpose_and_attempt = static_cast<std::uint32_t>(purpose) | (attempt << 8);
  return PhiloxBlock{{block, sample, step, purpose_and_attempt}};
}

QMSE_HOST_DEVICE inline PhiloxBlock random_bits(std::uint64_t seed, RandomPurpose purpose,
                                                std::uint32_t attempt, std::uint32_t step,
                                                std::uint32_t sample, std::uint32_t block) {
  return philox4x32_10(random_counter(purpose, attempt, step, sample, block), seed);
}

// A uniform number in [0, 1) with 24 bits: exact in f32 and f64.
QMSE_HOST_DEVICE inline float uniform_from_bits(std::uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

}  // namespace qmse
