// Text from anywhere (labels, paths, files) made fit to be shown.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

namespace qmse {

// One line of valid UTF-8: control characters become spaces, bytes that are no UTF-8, and what XML does not
// have, the replacement character.
std::string plain_text(const std::string& text);

// "1 run", "2 runs".
std::string counted(std::integral auto count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

// "2026-11-24T17:30:00.123Z", before 1970 too.
std::string utc_text(std::chrono::system_clock::time_point time);

// How many characters (code points) valid UTF-8 has.
std::size_t text_length(const std::string& text);

// At most `length` characters; what is longer ends in an ellipsis.
std::string shorten(const std::string& text, std::size_t length);

// Lines of at most `length` characters, broken at spaces where there are any.
std::vector<std::string> wrap_text(const std::string& text, std::size_t length);

}  // namespace qmse
