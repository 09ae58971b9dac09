#include "base/name_text.h"

#include <algorithm>

namespace qmse {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::size_t kEscapeBytes = 4;  // of \xNN

bool begins_escape(std::string_view text) {
  return text.size() >= kEscapeBytes && text[0] == '\\' && text[1] == 'x' &&
         kHex.find(text[2]) != std::string_view::npos && kHex.find(text[3]) != std::string_view::npos;
}

// Whether a character may stand in one line of XML: C0 and C1 controls, DEL, U+FFFE and U+FFFF may not.
bool can_be_shown(std::string_view character) {
  const auto byte = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return byte >= 0x20 && byte != 0x7f;
  if (character.size() == 2) return byte != 0xc2 || static_cast<unsigned char>(character[1]) >= 0xa0;
  return character != "\xef\xbf\xbe" && character != "\xef\xbf\xbf";
}

void append_escaped(std::string& result, std::string_view bytes) {
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    result += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
}

std::string escape(std::string_view text, bool backslashes) {
  std::string result;
  while (!text.empty()) {
    const std::size_t bytes = std::max<std::size_t>(character_bytes(text), 1);
    const std::string_view character = text.substr(0, bytes);
    if (character_bytes(text) == 0 || !can_be_shown(character) || (backslashes && begins_escape(text))) {
      append_escaped(result, character);
    } else {
      result += character;
    }
    text.remove_prefix(bytes);
  }
  return result;
}

}  // namespace

std::size_t character_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t bytes = first >= 0xc2 && first <= 0xdf   ? 2
                            : first >= 0xe0 && first <= 0xef ? 3
                            : first >= 0xf0 && first <= 0xf4 ? 4
                                                             : 0;
  if (bytes == 0 || text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than needed, a surrogate, or above U+10FFFF.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return bytes;
}

std::string escape_name(std::string_view name) { return escape(name, true); }

std::string printable(std::string_view text) { return escape(text, false); }

std::string unescape_name(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    if (begins_escape(text)) {
      name += static_cast<char>(kHex.find(text[2]) * 16 + kHex.find(text[3]));
      text.remove_prefix(kEscapeBytes);
    } else {
      name += text.front();
      text.remove_prefix(1);
    }
  }
  return name;
}

}  // namespace qmse
