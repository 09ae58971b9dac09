#include "base/number_text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace qmse {
namespace {

template <class... Format>
std::string text_of(double value, Format... format) {
  if (std::isnan(value)) return "nan";  // whatever its sign
  std::array<char, 400> text;           // 1e308 has 309 digits before the point
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value, format...);
  return {text.data(), end};
}

}  // namespace

std::string shortest_text(double value) { return text_of(value); }

std::string significant_text(double value, int digits) {
  return text_of(value, std::chars_format::general, digits);
}

std::string fixed_text(double value, int decimals) {
  return text_of(value, std::chars_format::fixed, decimals);
}

std::string signed_fixed_text(double value, int decimals) {
  return (std::signbit(value) ? "−" : "+") + fixed_text(std::abs(value), decimals);
}

}  // namespace qmse
