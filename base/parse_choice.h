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

// ConfigError: "unknown schedule 'cosin'; known: constant, step, ...", `what` being "schedule".
template <class Enum>
Enum parse_choice(std::string_view text, std::string_view what) {
  if (const std::optional<Enum> value = find_choice<Enum>(text)) return *value;
  std::string known;
  for (const Choice<Enum>& choice : choices(Enum()))
    known += (known.empty() ? "" : ", ") + std::string(choice.name);
  throw ConfigError("unknown " + std::string(what) + " " + in_quotes(text) + "; known: " + known);
}

}  // namespace qmse
