#include "base/words.h"

#include <algorithm>

namespace qmse {
namespace {

std::string with(std::string_view name, char instead) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', instead);
  return text;
}

}  // namespace

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string with_spaces(std::string_view name) { return with(name, ' '); }
std::string option_name(std::string_view setting) { return "--" + with(setting, '-'); }

std::string nearest(std::string_view wrong, std::span<const std::string> names) {
  std::string best;
  std::size_t best_distance = 2 + wrong.size() / 4;  // a name this far away is not near
  for (const std::string& name : names) {
    // Levenshtein's edit distance, one row at a time.
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= wrong.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= name.size(); ++j) {
        const std::size_t substitute = diagonal + (wrong[i - 1] != name[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = name;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view wrong, std::span<const std::string> names) {
  const std::string near = nearest(wrong, names);
  return near.empty() ? "" : " (did you mean '" + near + "'?)";
}

}  // namespace qmse
