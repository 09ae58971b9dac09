// The table of settings: name, meaning, type, range and use of every member of TrainConfig.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "experiment/run/config.h"

namespace qmse {

enum class ConfigGroup { data, model, loss, optimizer, schedule, training, random, machine, run };

// "Data", "Model", ...: the heading of the group in --help.
std::string_view heading(ConfigGroup group);

// Which subcommands take a field.
enum ConfigUse : unsigned { kTrain = 1, kTrace = 2, kEvaluate = 4 };

// Where a setting has an effect: another one, a text or a number, has one of these values (or, `except`, none
// of them).
struct ConfigCondition {
  std::string_view setting;
  std::vector<std::string_view> values;
  bool except = false;

  bool holds(const Json& value) const;  // "cuda:1" is of the value "cuda"
  std::string text() const;             // "--optimizer adam or rmsprop", "any other --device"
};

// One of a text's choices, and what people call it.
struct NamedChoice {
  std::string_view name;
  std::string_view label;  // empty: none of its own
};

// A member of TrainConfig whose type is a choice (base/choice.h).
struct ChoiceMember {
  std::string_view (*get)(const TrainConfig&);
  bool (*set)(TrainConfig&, std::string_view name);  // false where there is no such name
  std::vector<NamedChoice> (*all)();
};

// What a value has to be, where the type leaves a choice.
struct ConfigRule {
  // Numbers (each element of a list): low <= x <= high, strictly where open.
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  std::size_t min_items = 0;  // of a list
  std::size_t max_items = 16;
  std::vector<NamedChoice> choices = {};  // of a text; empty: any

  std::optional<ConfigCondition> only_with = {};  // empty: it always has an effect
  bool free_on_resume = false;                    // a resumed run may differ here from its record
  bool recorded = true;                           // written to config.json
  std::string_view placeholder = {};              // of the option in --help; empty: by its type
};

struct ConfigField {
  using Member = std::variant<bool TrainConfig::*, std::int64_t TrainConfig::*, double TrainConfig::*,
                              std::string TrainConfig::*, std::vector<std::int64_t> TrainConfig::*,
                              std::optional<std::uint64_t> TrainConfig::*,
                              std::optional<double> TrainConfig::*, ChoiceMember>;

  ConfigGroup group;
  unsigned uses;          // of ConfigUse
  std::string_view name;  // the key in JSON
  Member member;
  std::string help;

  ConfigRule rule = {};

  std::string option() const;            // "--batch-size"
  std::string_view placeholder() const;  // "N", "X", "TEXT", ... or "" for a switch
  std::string default_text() const;      // "" where there is none
  std::string_view label(
      std::string_view choice) const;             // what people call it; "" where it has no name of its own
  bool applies(const TrainConfig& config) const;  // whether it has an effect there
  bool is_switch() const { return std::holds_alternative<bool TrainConfig::*>(member); }
};

std::span<const ConfigField> config_fields();

// Whether it is tuned rather than compared where nobody says otherwise: settings of optimizer, schedule and
// batch size.
bool is_tuned(const ConfigField& field);

// The field of this JSON key, or nullptr.
const ConfigField* find_field(std::string_view name);

// The value a command line's text stands for, checked: "64" -> 64, "32,64" -> [32, 64]. Throws ConfigError.
Json value_from_text(const ConfigField& field, std::string_view text);

// Throws ConfigError, beginning with `label`, unless `value` has the field's type and range.
void check_value(const ConfigField& field, const Json& value, const std::string& label);

// Texts, which may be paths, are escaped (name_text.h) in JSON and as they are in TrainConfig.
Json get(const TrainConfig& config, const ConfigField& field);  // null where it is not set
void set(TrainConfig& config, const ConfigField& field,
         const Json& value);  // of a value that was checked

}  // namespace qmse
