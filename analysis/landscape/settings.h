// Settings of landscape experiments: what options there are, and one complete object from defaults, preset
// and what a person gave.
#pragma once

#include <array>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "base/choice.h"
#include "base/json.h"
#include "base/parse_choice.h"

namespace qmse {

struct LandscapeOption {
  std::string name;  // of the setting, "slope_noise"; on the command line --slope-noise
  std::string help;
  // Says the type too: a whole number, a number, a text, or a list of whole numbers or numbers.
  Json usual;
  Json quick = nullptr;                                       // with --quick; null: as usual
  double low = 0, high = std::numeric_limits<double>::max();  // of numbers
  std::vector<std::string> choices = {};                      // of texts; empty: any. See choice_option()
};

// A setting that is one of an enum's choices (base/choice.h), in files and on the command line its name: of
// all, or of `some`.
template <class Enum>
LandscapeOption choice_option(std::string name, std::string help, Enum usual,
                              std::initializer_list<Enum> some = {}) {
  LandscapeOption option{
      .name = std::move(name), .help = std::move(help), .usual = std::string(qmse::name(usual))};
  for (const Enum value : some) option.choices.emplace_back(qmse::name(value));
  if (some.size() == 0) {
    for (const Choice<Enum>& each : choices(Enum())) option.choices.emplace_back(each.name);
  }
  return option;
}

enum class YesNo { yes, no };
constexpr std::array<Choice<YesNo>, 2> choices(YesNo) { return {{{YesNo::yes, "yes"}, {YesNo::no, "no"}}}; }

struct LandscapePreset {
  std::string name, help;
  Json settings;
};

// The value of `option` that `text` says. ConfigError naming --option, what it takes and what was given.
Json setting_from_text(const LandscapeOption& option, const std::string& text);

// All settings: usual (or quick) values, over them the preset's, over them `given`, whose values are checked.
// ConfigError for an unknown preset (empty: none) or setting.
Json complete_settings(const std::vector<LandscapeOption>& options,
                       const std::vector<LandscapePreset>& presets, const std::string& preset, bool quick,
                       const Json& given);

// ConfigError where one of these settings, which are lists, has a number twice.
void check_different(const Json& settings, std::initializer_list<const char*> lists);

// ConfigError where there is none of this name.
const LandscapeOption& find_option(const std::vector<LandscapeOption>& options, const std::string& name);

// Typed access to a complete object.
std::int64_t whole(const Json& settings, const char* name);
double number(const Json& settings, const char* name);
std::string text(const Json& settings, const char* name);
template <class Enum>
Enum chosen(const Json& settings, const char* name) {
  return parse_choice<Enum>(text(settings, name), name);
}
bool yes(const Json& settings, const char* name);  // of a YesNo
std::vector<std::int64_t> wholes(const Json& settings, const char* name);
std::vector<double> numbers(const Json& settings, const char* name);
// Of a record, in which numbers that are not finite have become null: NaN.
std::vector<double> numbers_or_nan(const Json& record, const char* name);

}  // namespace qmse
