#include "base/in_quotes.h"

#include <algorithm>

#include "base/name_text.h"

namespace qmse {

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxBytes = 300;
  std::size_t shown = 0;
  while (shown < text.size()) {
    const std::size_t next = shown + std::max<std::size_t>(character_bytes(text.substr(shown)), 1);
    if (next > kMaxBytes) break;
    shown = next;
  }
  return "'" + printable(text.substr(0, shown)) + (shown < text.size() ? "...'" : "'");
}

}  // namespace qmse
