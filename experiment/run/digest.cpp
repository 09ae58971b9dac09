#include "experiment/run/digest.h"

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>

namespace qmse {

std::string short_digest(std::string_view text) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  std::array<char, 17> digits;
  std::snprintf(digits.data(), digits.size(), "%016" PRIx64, hash);
  return digits.data();
}

}  // namespace qmse
