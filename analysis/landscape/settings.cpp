#include "analysis/landscape/settings.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/words.h"

namespace qmse {
namespace {

const Json& sample_of(const LandscapeOption& option) {
  return option.usual.is_array() ? option.usual.front() : option.usual;
}

std::string wanted(const LandscapeOption& option) {
  if (!option.choices.empty()) return "one of " + join(option.choices, ", ");
  const Json& sample = sample_of(option);
  if (sample.is_string()) return "a text";
  std::string range;
  if (option.low > -1e300) range = " from " + shortest_text(option.low);
  if (option.high < 1e300) range += " to " + shortest_text(option.high);
  const std::string kind = sample.is_number_integer() ? "whole number" : "number";
  return option.usual.is_array() ? kind + "s" + range + ", with commas between them" : "a " + kind + range;
}

[[noreturn]] void refuse(const LandscapeOption& option, const std::string& given) {
  throw ConfigError(option_name(option.name) + " takes " + wanted(option) + ", not " + in_quotes(given));
}

bool fits(const LandscapeOption& option, const Json& value) {
  const Json& sample = sample_of(option);
  if (sample.is_string()) {
    return value.is_string() &&
           (option.choices.empty() || std::find(option.choices.begin(), option.choices.end(),
                                                value.get<std::string>()) != option.choices.end());
  }
  if (sample.is_number_integer() ? !value.is_number_integer() : !value.is_number()) return false;
  const double number = value.get<double>();
  return number >= option.low && number <= option.high;  // false for a NaN
}

void check(const LandscapeOption& option, const Json& value) {
  const bool good =
      option.usual.is_array()
          ? value.is_array() && !value.empty() &&
                std::all_of(value.begin(), value.end(), [&](const Json& each) { return fits(option, each); })
          : fits(option, value);
  if (!good) refuse(option, json_words(value));
}

Json scalar_from_text(const LandscapeOption& option, std::string_view text, const std::string& whole_text) {
  const Json& sample = sample_of(option);
  if (sample.is_string()) return std::string(text);
  const auto parse = [&]<class T>(T) -> Json {
    const auto number = number_from<T>(text);
    if (!number) refuse(option, whole_text);
    return *number;
  };
  return sample.is_number_integer() ? parse(std::int64_t{0}) : parse(0.0);
}

}  // namespace

Json setting_from_text(const LandscapeOption& option, const std::string& text) {
  Json value;
  if (option.usual.is_array()) {
    value = Json::array();
    for (const std::string& part : split(text, ',')) value.push_back(scalar_from_text(option, part, text));
  } else {
    value = scalar_from_text(option, text, text);
  }
  check(option, value);
  return value;
}

Json complete_settings(const std::vector<LandscapeOption>& options,
                       const std::vector<LandscapePreset>& presets, const std::string& preset, bool quick,
                       const Json& given) {
  Json settings = Json::object();
  for (const LandscapeOption& option : options)
    settings[option.name] = quick && !option.quick.is_null() ? option.quick : option.usual;
  if (!preset.empty()) {
    const LandscapePreset* found = find_named(presets, preset);
    if (found == nullptr) {
      throw ConfigError("--preset " + in_quotes(preset) + " is not known: there is " +
                        (presets.empty() ? "none" : join(names_of(presets), ", ")));
    }
    settings.update(found->settings);
  }
  for (const auto& [name, value] : given.items()) {
    check(find_option(options, name), value);
    settings[name] = value;
  }
  return settings;
}

void check_different(const Json& settings, std::initializer_list<const char*> lists) {
  for (const char* list : lists) {
    std::vector<double> values = numbers(settings, list);
    std::sort(values.begin(), values.end());
    if (std::adjacent_find(values.begin(), values.end()) != values.end())
      throw ConfigError(option_name(list) + " takes different numbers");
  }
}

const LandscapeOption& find_option(const std::vector<LandscapeOption>& options, const std::string& name) {
  if (const LandscapeOption* option = find_named(options, name)) return *option;
  throw ConfigError("this experiment has no setting " + in_quotes(name));
}

bool yes(const Json& settings, const char* name) { return chosen<YesNo>(settings, name) == YesNo::yes; }
std::int64_t whole(const Json& settings, const char* name) { return settings.at(name).get<std::int64_t>(); }
double number(const Json& settings, const char* name) { return settings.at(name).get<double>(); }
std::string text(const Json& settings, const char* name) { return settings.at(name).get<std::string>(); }
std::vector<std::int64_t> wholes(const Json& settings, const char* name) {
  return settings.at(name).get<std::vector<std::int64_t>>();
}
std::vector<double> numbers(const Json& settings, const char* name) {
  return settings.at(name).get<std::vector<double>>();
}

std::vector<double> numbers_or_nan(const Json& record, const char* name) {
  std::vector<double> values;
  for (const Json& each : record.at(name)) values.push_back(each.is_null() ? NAN : each.get<double>());
  return values;
}

}  // namespace qmse
