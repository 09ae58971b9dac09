// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace qmse {

class Sha256 {
 public:
  void update(const void* data, std::size_t bytes);
  // 64 hexadecimal digits; called once, last.
  std::string finish();

 private:
  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_{};  // bytes that do not fill one yet
  std::uint64_t bytes_ = 0;                // so far
};

std::string sha256(std::string_view bytes);
// Of the numbers' bytes as they lie in memory.
template <class T>
std::string sha256_of(std::span<const T> values) {
  return sha256({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

}  // namespace qmse
