// A sequence of random numbers of one seed and purpose, with the bits of random/philox.h.
#pragma once

#include <cstdint>

#include "random/normal.h"
#include "random/philox.h"

namespace qmse {

class RandomStream {
 public:
  // Streams of different `part`s are independent.
  RandomStream(std::uint64_t seed, RandomPurpose purpose, std::uint32_t part = 0)
      : seed_(seed), purpose_(purpose), part_(part) {}

  // In [0, 1), with 53 bits.
  double uniform() {
    const std::uint64_t high = word(), low = word();
    return static_cast<double>(((high << 32) | low) >> 11) * 0x1p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // A standard normal of f32 precision.
  double normal() {
    if (normals_left_ == 0) {
      normals_ = normals_from_bits(next_block());
      normals_left_ = 4;
    }
    return static_cast<double>(normals_.v[4 - normals_left_--]);
  }
  // Uniform in [0, bound), for bound < 2^32.
  std::int64_t below(std::int64_t bound) {
    const auto limit = static_cast<std::uint64_t>(bound);
    const std::uint64_t fair = (std::uint64_t{1} << 32) / limit * limit;
    std::uint64_t bits = word();
    while (bits >= fair) bits = word();
    return static_cast<std::int64_t>(bits % limit);
  }
  double sign() { return (word() & 1) != 0 ? 1.0 : -1.0; }

 private:
  PhiloxBlock next_block() {
    const auto low = static_cast<std::uint32_t>(blocks_), high = static_cast<std::uint32_t>(blocks_ >> 32);
    ++blocks_;
    return random_bits(seed_, purpose_, 0, high, part_, low);
  }
  std::uint32_t word() {
    if (words_left_ == 0) {
      words_ = next_block();
      words_left_ = 4;
    }
    return words_.x[4 - words_left_--];
  }

  std::uint64_t seed_;
  RandomPurpose purpose_;
  std::uint32_t part_;
  std::uint64_t blocks_ = 0;
  PhiloxBlock words_{};
  Group<float, 4> normals_{};
  int words_left_ = 0, normals_left_ = 0;
};

}  // namespace qmse
