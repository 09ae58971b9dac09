// The inverse of name() of a choice (base/choice.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/choice.h"
#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse {

template <class Enum>
std::optional<Enum> find_choice(std::string_view text) {
  for (const Choice<Enum>& choice : choices(Enum())) {
    if (choice.name == text) return choice.value;
  }
  return std::nullopt;
}

// "a|b|c" with "|" between and before the last, "a, b or c" with ", " and " or ".
template <class Enum>
std::string choice_names(std::string_view between, std::string_view before_last) {
  constexpr auto all = choices(Enum());
  std::string names(all.front().name);
  for (std::size_t i = 1; i < all.size(); ++i) {
    names += i + 1 == all.size() ? before_last : between;
    names += all[i].name;
  }
  return names;
}

// ConfigError: "unknown schedule 'cosin'; known: constant, step, ...", `what` being "schedule".
template <class Enum>
Enum parse_choice(std::string_view text, std::string_view what) {
  if (const std::optional<Enum> value = find_choice<Enum>(text)) return *value;
  throw ConfigError("unknown " + std::string(what) + " " + in_quotes(text) +
                    "; known: " + choice_names<Enum>(", ", ", "));
}

}  // namespace qmse
