// Random damage to a file's bytes, for tests of readers: whatever comes out, a
// reader accepts it as valid or throws.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace qmse::test {

// `bytes` with one to three random edits: a flipped bit, an overwritten byte, another digit or letter, a byte
// pattern that is an extreme integer, a range cut out, doubled or swapped for noise, a cut end, appended
// bytes. About two of three edits fall into the first `header` bytes, where readers decide.
inline std::string mutate(std::string bytes, std::size_t header, std::mt19937_64& random) {
  const auto below = [&random](std::size_t limit) {
    return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit);
  };
  const auto noise = [&](std::size_t count) {
    std::string text(count, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  const std::size_t edits = 1 + below(3);
  for (std::size_t edit = 0; edit < edits && !bytes.empty(); ++edit) {
    const std::size_t at = below(below(3) < 2 ? std::min(header, bytes.size()) : bytes.size());
    const std::size_t length = 1 + below(std::min<std::size_t>(16, bytes.size() - at));
    switch (below(10)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random());
        break;
      case 2:
        bytes[at] = static_cast<char>('0' + below(10));
        break;
      case 3:
        bytes[at] = static_cast<char>('A' + below(58));
        break;
      case 4: {
        constexpr char kExtremes[] = {'\x00', '\x01', '\x7f', '\x80', '\xff'};
        bytes.replace(at, length, std::string(length, kExtremes[below(5)]));
        break;
      }
      case 5:
        bytes.erase(at, length);
        break;
      case 6:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 7:
        bytes.replace(at, length, noise(below(17)));
        break;
      case 8:
        bytes.resize(below(bytes.size()));
        break;
      default:
        bytes += noise(1 + below(20));
        break;
    }
  }
  return bytes;
}

}  // namespace qmse::test
