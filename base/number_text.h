// Numbers as text, with a point in every language.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace qmse {

std::string shortest_text(double value);                 // the fewest digits that are this value: "0.1"
std::string significant_text(double value, int digits);  // "1.235e-05", "0.1": of at most so many digits
std::string fixed_text(double value, int decimals);      // "0.10"
// With its sign, a minus as long as the plus: "+1.50", "−1.50".
std::string signed_fixed_text(double value, int decimals);

// The number that is all of `text`; nothing for any other text, or where it is out of T's range.
template <class T>
std::optional<T> number_from(std::string_view text) {
  T number{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end ? std::optional<T>(number) : std::nullopt;
}

}  // namespace qmse
