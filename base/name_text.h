// Names and paths as text: what may hold any byte, made valid UTF-8 and back.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qmse {

// Bytes of the UTF-8 character (RFC 3629) that `text` begins with; 0 where it begins with none.
std::size_t character_bytes(std::string_view text);

// A name from outside (a file, a folder, a class, a path) as text that JSON, safetensors, XML and a line of a
// terminal can hold: bytes that are no UTF-8, control characters and U+FFFE and U+FFFF become \xNN, a byte
// each, and so does a backslash that would read as one of these. Everything else stays as it is. Names are
// escaped once, where they come in or where they are written, never twice.
std::string escape_name(std::string_view name);

// The inverse: unescape_name(escape_name(name)) == name, for every name.
std::string unescape_name(std::string_view text);

// To be shown only: as escape_name(), but every backslash stays, so that
// what is escaped already does not change.
std::string printable(std::string_view text);

}  // namespace qmse
