#include "analysis/landscape/words.h"

#include <array>
#include <charconv>
#include <cmath>

namespace qmse {

std::string number_words(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  std::array<char, 64> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits).ptr;
  return {text.data(), end};
}

std::string interval_words(double value, const std::optional<Interval>& interval, int digits) {
  if (!interval) return number_words(value, digits);
  return number_words(value, digits) + " [" + number_words(interval->low, digits) + ", " +
         number_words(interval->high, digits) + "]";
}

}  // namespace qmse
