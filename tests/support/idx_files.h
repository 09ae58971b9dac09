// Small MNIST-like data sets on disk, for tests that start from files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "random/philox.h"
#include "tests/support/temp_directory.h"

namespace qmse::test {

inline std::string big_endian(std::int64_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xff);
  return bytes;
}

// One split, `count` images of side x side with ten labels: a bright block whose place depends on the label,
// on noise, so that there is something to learn.
inline void write_idx_split(const std::filesystem::path& folder, const std::string& prefix,
                            std::int64_t count, std::int64_t side, std::uint64_t seed) {
  std::string images =
      std::string("\0\0\x08\x03", 4) + big_endian(count) + big_endian(side) + big_endian(side);
  std::string labels = std::string("\0\0\x08\x01", 4) + big_endian(count);
  for (std::int64_t n = 0; n < count; ++n) {
    const auto label = static_cast<std::int64_t>(
        random_bits(seed, RandomPurpose::test, 0, 0, static_cast<std::uint32_t>(n), 0).x[0] % 10);
    labels += static_cast<char>(label);
    for (std::int64_t i = 0; i < side * side; ++i) {
      const auto noise = random_bits(seed, RandomPurpose::test, 1, 0, static_cast<std::uint32_t>(n),
                                     static_cast<std::uint32_t>(i));
      const bool bright = i * 10 / (side * side) == label;
      images += static_cast<char>((bright ? 160 : 0) + noise.x[0] % 96);
    }
  }
  write_bytes(folder / (prefix + "-images-idx3-ubyte"), images);
  write_bytes(folder / (prefix + "-labels-idx1-ubyte"), labels);
}

// <root>/mnist with `train` and `test` images of side x side.
inline void write_mnist(const std::filesystem::path& root, std::int64_t train, std::int64_t test,
                        std::int64_t side = 8) {
  std::filesystem::create_directories(root / "mnist");
  write_idx_split(root / "mnist", "train", train, side, 11);
  write_idx_split(root / "mnist", "t10k", test, side, 12);
}

}  // namespace qmse::test
