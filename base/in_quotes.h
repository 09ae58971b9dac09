// Names and paths as they appear in error messages.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace qmse {

// `text` in single quotes, safe for a one-line message: control characters and bytes that are no UTF-8 become
// \xNN (name_text.h), and text longer than 300 bytes is cut ("..."), because names may come from damaged or
// hostile files.
std::string in_quotes(std::string_view text);
inline std::string in_quotes(const std::string& text) { return in_quotes(std::string_view(text)); }
inline std::string in_quotes(const char* text) { return in_quotes(std::string_view(text)); }
inline std::string in_quotes(const std::filesystem::path& path) { return in_quotes(path.native()); }

}  // namespace qmse
