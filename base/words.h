// Words and names as sentences, options and tables have them.
#pragma once

#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qmse {

// The text of each thing, with `between` them and, of several, `before_last` before the last.
template <class Range, class Text = std::identity>
std::string join(const Range& things, std::string_view between, std::string_view before_last,
                 const Text& text = {}) {
  std::vector<std::string> words;
  for (const auto& thing : things) words.emplace_back(std::invoke(text, thing));
  std::string all;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) all += i + 1 == words.size() ? before_last : between;
    all += words[i];
  }
  return all;
}
// "a, b, c" with ", " between them.
template <class Range, class Text = std::identity>
std::string join(const Range& things, std::string_view between, const Text& text = {}) {
  return join(things, between, between, text);
}
// "a, b or c"
template <class Range, class Text = std::identity>
std::string alternatives(const Range& things, const Text& text = {}) {
  return join(things, ", ", " or ", text);
}

// "a,b" parted at ',' -> a and b; an empty text is no part.
std::vector<std::string> split(std::string_view text, char at);

std::string capitalised(std::string text);          // "training loss" -> "Training loss"
std::string with_spaces(std::string_view name);     // "batch_size" -> "batch size"
std::string option_name(std::string_view setting);  // "batch_size" -> "--batch-size"

// The name nearest to a misspelt one, or "" where none is near; and as " (did you mean 'lr'?)".
std::string nearest(std::string_view wrong, std::span<const std::string> names);
std::string did_you_mean(std::string_view wrong, std::span<const std::string> names);

// The row of a table of things with names, or null.
template <class Table>
auto find_named(const Table& table, std::string_view name) -> decltype(&*std::begin(table)) {
  for (const auto& row : table) {
    if (row.name == name) return &row;
  }
  return nullptr;
}
template <class Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

}  // namespace qmse
