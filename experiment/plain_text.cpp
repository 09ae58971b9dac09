#include "experiment/plain_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

namespace qmse {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

std::string plain_text(const std::string& text) {
  using nlohmann::json;
  // The JSON library's writer replaces what is no UTF-8.
  std::string clean =
      json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
  for (char& c : clean) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
  }
  return clean;
}

std::string signed_text(const char* format, double value) {
  std::array<char, 48> size;
  std::snprintf(size.data(), size.size(), format, std::abs(value));
  return (std::signbit(value) ? "−" : "+") + std::string(size.data());
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
