#include "base/name_text.h"

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "base/in_quotes.h"
#include "tests/support/catch.h"

namespace qmse {
namespace {

// The JSON library's own decoder.
bool is_utf8(const std::string& text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

bool has_controls(const std::string& text) {
  for (const unsigned char c : text) {
    if (c < 0x20 || c == 0x7f) return true;
  }
  return text.find("\xc2\x85") != std::string::npos || text.find("\xc2\x9b") != std::string::npos;
}

TEST_CASE("name text: what can be shown stays as it is") {
  for (const char* name :
       {"", "apple", "a b", "C:\\data\\x", "‖r‖² 猫 🍎", "\\xg0", "\\x4", "\\\\", "\\xFF"}) {
    CAPTURE(name);
    CHECK(escape_name(name) == name);
    CHECK(unescape_name(name) == name);
  }
}

TEST_CASE("name text: controls and bytes that are no UTF-8 are escaped") {
  const std::pair<std::string, std::string> cases[] = {
      {"a\nb", "a\\x0ab"},
      {"\t\x7f", "\\x09\\x7f"},
      {"caf\xe9", "caf\\xe9"},
      {"\xc3", "\\xc3"},                             // cut
      {"\xc0\xaf", "\\xc0\\xaf"},                    // longer than needed
      {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},           // the same in three bytes
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // above U+10FFFF
      {"\xc2\x9bm", "\\xc2\\x9bm"},                  // a terminal's CSI
      {"\xef\xbf\xbf", "\\xef\\xbf\\xbf"},           // in no XML
      {"\\x41", "\\x5cx41"},                         // would be read as an escape
      {"\\\\x41", "\\\\x5cx41"},
      {std::string("a\0b", 3), "a\\x00b"},
  };
  for (const auto& [name, text] : cases) {
    CAPTURE(text);
    CHECK(escape_name(name) == text);
    CHECK(unescape_name(text) == name);
  }
}

TEST_CASE("name text: names come back the same, whatever their bytes") {
  const unsigned seed = 20261125;
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::string likely = "\\x05cfa\xc3\xa9\xe2\x80\xff\n";
  int wrong = 0;
  for (int i = 0; i < 200000; ++i) {
    std::string name;
    for (std::size_t length = random() % 12; name.size() < length;)
      name += random() % 4 == 0 ? static_cast<char>(random()) : likely[random() % likely.size()];
    const std::string text = escape_name(name);
    const bool good = unescape_name(text) == name && is_utf8(text) && !has_controls(text) &&
                      is_utf8(printable(name)) && printable(text) == text;
    if (!good && wrong++ == 0) WARN("wrong for " << nlohmann::json(text).dump());
  }
  CHECK(wrong == 0);
}

TEST_CASE("name text: messages quote any name as UTF-8 and cut it between characters") {
  CHECK(in_quotes("caf\xe9\n") == "'caf\\xe9\\x0a'");
  CHECK(in_quotes("\\xe9") == "'\\xe9'");  // a name that is escaped already
  for (std::size_t before = 0; before < 4; ++before) {
    std::string text(before, 'a');
    for (int i = 0; i < 200; ++i) text += "é";
    CHECK(is_utf8(in_quotes(text)));
    CHECK(in_quotes(text).ends_with("é...'"));
    CHECK(in_quotes(text).size() <= 300 + 5);
  }
}

}  // namespace
}  // namespace qmse
