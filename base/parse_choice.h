// The inverse of name() of a choice (base/choice.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/choice.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"

namespace qmse {

template <class Enum>
std::optional<Enum> find_choice(std::string_view text) {
  constexpr auto all = choices(Enum());
  const Choice<Enum>* found = find_named(all, text);
  return found != nullptr ? std::optional<Enum>(found->value) : std::nullopt;
}

template <class Enum>
std::vector<std::string> choice_names() {
  return names_of(choices(Enum()));
}

// ConfigError: "unknown schedule 'cosin'; known: constant, step, ...", `what` being "schedule".
template <class Enum>
Enum parse_choice(std::string_view text, std::string_view what) {
  if (const std::optional<Enum> value = find_choice<Enum>(text)) return *value;
  throw ConfigError("unknown " + std::string(what) + " " + in_quotes(text) +
                    "; known: " + join(choice_names<Enum>(), ", "));
}

}  // namespace qmse
