// Short names for long texts.
#pragma once

#include <string>
#include <string_view>

namespace qmse {

// Sixteen hexadecimal digits (FNV-1a, 64 bits), the same everywhere and always. To tell texts apart, not to
// keep anybody from making two that are alike.
std::string short_digest(std::string_view text);

}  // namespace qmse
