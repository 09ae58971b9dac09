// Choices with names. An enum is one where a table stands beside it:
//
//   enum class Color { red, green };
//   constexpr std::array<Choice<Color>, 2> choices(Color) { return {{{Color::red, "red"}, {Color::green,
//   "green"}}}; }
//
// Options, files, help and error texts are made from the table, so that a name stands nowhere else. C++17:
// included by device code.
#pragma once

#include <array>
#include <string_view>

namespace qmse {

template <class Enum>
struct Choice {
  Enum value;
  std::string_view name;        // in options and files
  std::string_view label = {};  // for people; empty: said as "<setting> <name>"
};

template <class Enum, class = decltype(choices(Enum()))>
constexpr std::string_view name(Enum value) {
  for (const Choice<Enum>& choice : choices(value)) {
    if (choice.value == value) return choice.name;
  }
  return "?";
}

// What people call it; empty where the table has no word of its own.
template <class Enum, class = decltype(choices(Enum()))>
constexpr std::string_view label(Enum value) {
  for (const Choice<Enum>& choice : choices(value)) {
    if (choice.value == value) return choice.label;
  }
  return {};
}

}  // namespace qmse
