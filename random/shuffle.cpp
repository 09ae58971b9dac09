#include "random/shuffle.h"

#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"
#include "random/philox.h"

namespace qmse {
namespace {

// Blocks of random bits by position, keeping the last one, which serves four positions in turn.
class PositionBits {
 public:
  PositionBits(std::uint64_t seed, std::uint32_t epoch) : seed_(seed), epoch_(epoch) {}

  std::uint32_t word(std::uint32_t position, std::uint32_t attempt) {
    if (attempt > 0) return draw(position / 4, attempt).x[position % 4];
    if (!drawn_ || position / 4 != block_) {
      block_ = position / 4;
      bits_ = draw(block_, 0);
      drawn_ = true;
    }
    return bits_.x[position % 4];
  }

 private:
  PhiloxBlock draw(std::uint32_t block, std::uint32_t attempt) const {
    return random_bits(seed_, RandomPurpose::data_order, attempt, epoch_, 0, block);
  }

  std::uint64_t seed_;
  std::uint32_t epoch_;
  bool drawn_ = false;
  std::uint32_t block_ = 0;
  PhiloxBlock bits_{};
};

// Uniform in 0 .. position.
std::uint32_t choose(PositionBits& bits, std::uint32_t position) {
  const std::uint32_t range = position + 1;
  std::uint64_t product = static_cast<std::uint64_t>(bits.word(position, 0)) * range;
  if (static_cast<std::uint32_t>(product) < range) {
    const std::uint32_t biased = (0u - range) % range;  // 2^32 mod range
    for (std::uint32_t attempt = 1; static_cast<std::uint32_t>(product) < biased; ++attempt) {
      product = static_cast<std::uint64_t>(bits.word(position, attempt)) * range;
    }
  }
  return static_cast<std::uint32_t>(product >> 32);
}

}  // namespace

void shuffled_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n, std::uint32_t* order) {
  if (n < 0 || n > 0xFFFFFFFF) {
    throw ShapeError("shuffled_order: cannot shuffle " + std::to_string(n) + " samples, only 0 to 2^32-1");
  }
  std::iota(order, order + n, 0u);
  PositionBits bits(seed, epoch);
  for (std::int64_t i = n - 1; i > 0; --i) {
    std::swap(order[i], order[choose(bits, static_cast<std::uint32_t>(i))]);
  }
}

}  // namespace qmse
