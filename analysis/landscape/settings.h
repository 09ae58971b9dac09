// Settings of landscape experiments: what options there are, and one complete object from defaults, preset
// and what a person gave.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "base/json.h"

namespace qmse {

struct LandscapeOption {
  std::string name;  // of the setting, "slope_noise"; on the command line --slope-noise
  std::string help;
  // Says the type too: a whole number, a number, a text, or a list of whole numbers or numbers.
  Json usual;
  Json quick = nullptr;                                       // with --quick; null: as usual
  double low = 0, high = std::numeric_limits<double>::max();  // of numbers
  std::vector<std::string> choices = {};                      // of texts; empty: any
};

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

// Typed access to a complete object.
std::int64_t whole(const Json& settings, const char* name);
double number(const Json& settings, const char* name);
std::string text(const Json& settings, const char* name);
std::vector<std::int64_t> wholes(const Json& settings, const char* name);
std::vector<double> numbers(const Json& settings, const char* name);
// Of a record, in which numbers that are not finite have become null: NaN.
std::vector<double> numbers_or_nan(const Json& record, const char* name);

}  // namespace qmse
