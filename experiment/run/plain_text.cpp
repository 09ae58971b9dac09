#include "experiment/run/plain_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <sstream>

#include "base/name_text.h"

namespace qmse {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string plain_text(const std::string& text) {
  std::string clean;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t bytes = character_bytes(rest);
    const auto first = static_cast<unsigned char>(rest.front());
    const std::string_view character = rest.substr(0, bytes);
    // U+FFFE and U+FFFF are UTF-8, but no characters of XML.
    if (bytes == 0 || character == "\ufffe" || character == "\uffff") {
      clean += "\ufffd";
    } else if (first < 0x20 || first == 0x7f) {
      clean += ' ';
    } else {
      clean += character;
    }
    rest.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return clean;
}

std::string utc_text(std::chrono::system_clock::time_point time) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const auto whole = std::chrono::floor<seconds>(time);
  const auto rest = std::chrono::floor<milliseconds>(time) - whole;
  const std::time_t since_1970 = whole.time_since_epoch().count();
  std::tm utc{};
  ::gmtime_r(&since_1970, &utc);
  std::array<char, 80> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data() + length, text.size() - length, ".%03dZ", static_cast<int>(rest.count()));
  return text.data();
}

std::size_t text_length(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string shorten(const std::string& text, std::size_t length) {
  if (text_length(text) <= length) return text;
  std::size_t characters = 0, end = 0;
  for (; end < text.size(); ++end) {
    if (begins_character(text[end]) && ++characters > std::max<std::size_t>(length, 1) - 1) break;
  }
  return text.substr(0, end) + "…";
}

std::vector<std::string> wrap_text(const std::string& text, std::size_t length) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    word = shorten(word, length);
    if (!lines.empty() && text_length(lines.back()) + 1 + text_length(word) <= length) {
      lines.back() += ' ' + word;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

}  // namespace qmse
