#include "apps/options.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "base/words.h"
#include "experiment/run/plain_text.h"

namespace qmse::app {
namespace {

std::string placeholder(const ConfigField& field) {
  if (field.rule.choices.empty()) return std::string(field.placeholder());
  return join(names_of(field.rule.choices), "|");
}

std::string help_text(const ConfigField& field) {
  const std::string usual = field.default_text();
  return wrap_help(field.help + (usual.empty() ? "" : " [" + usual + "]"));
}

// CLI11 keeps every value; check_command_line() finds those given twice, in our words.
CLI::Option* keep_all(CLI::Option* option) {
  return option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

std::string wrap_help(const std::string& text, std::size_t width) {
  return join(wrap_text(text, width), "\n");
}

CLI::Option* add_text_option(CLI::App& command, const std::string& name, const std::string& placeholder,
                             const std::string& group, const std::string& help) {
  return keep_all(command.add_option(name)->description(wrap_help(help)))
      ->type_name(placeholder)
      ->type_size(1)
      ->expected(1)
      ->group(group);
}

CLI::Option* add_dataset_name(CLI::App& command) {
  return command.add_option("NAME")
      ->description("the data set; qmse data list shows them (required)")
      ->type_name("")
      ->expected(1);
}

std::string dataset_name(const CLI::Option& option) {
  if (option.count() == 0) throw ConfigError("NAME is missing: which data set? qmse data list shows them");
  return option.as<std::string>();
}

ConfigOptions::ConfigOptions(CLI::App& command, unsigned uses, const std::vector<std::string>& without) {
  for (const ConfigField& field : config_fields()) {
    if ((field.uses & uses) == 0 || std::count(without.begin(), without.end(), field.name) != 0) continue;
    const std::string group(heading(field.group));
    CLI::Option* option =
        field.is_switch()
            ? keep_all(command.add_flag(field.option())->description(help_text(field)))->group(group)
            : add_text_option(command, field.option(), placeholder(field), group, help_text(field));
    entries_.push_back({&field, option});
  }
  config_file_ = add_text_option(
      command, "--config", "FILE", "Settings from a file",
      "JSON object with any of these options as keys, spelt with underscores: {\"batch_size\": 128}; "
      "the command line wins");
}

Json ConfigOptions::given() const {
  Json typed = Json::object();
  for (const Entry& entry : entries_) {
    if (entry.option->count() == 0) continue;
    typed[std::string(entry.field->name)] = value_from_text(*entry.field, entry.option->results().front());
  }
  const Json file =
      config_file_->count() > 0 ? read_config_file(config_file_->as<std::string>()) : Json::object();
  return overlay(file, typed);
}

std::uint64_t whole_number(const CLI::Option& option, std::uint64_t low, std::uint64_t high) {
  const std::string text = option.results().front();
  const auto number = number_from<std::uint64_t>(text);
  if (!number || *number < low || *number > high) {
    throw ConfigError(option.get_name() + " must be a whole number from " + std::to_string(low) + " to " +
                      std::to_string(high) + ", not " + in_quotes(text));
  }
  return *number;
}

double positive_number(const CLI::Option& option) {
  const std::string text = option.results().front();
  const auto number = number_from<double>(text);
  if (!number || !std::isfinite(*number) || *number <= 0)
    throw ConfigError(option.get_name() + " must be a number above 0, not " + in_quotes(text));
  return *number;
}

void check_command_line(const CLI::App& command) {
  const std::vector<const CLI::Option*> options = command.get_options();
  for (const CLI::Option* option : options) {
    if (option->nonpositional() && option->count() > 1)
      throw ConfigError(option->get_name() + " is given twice");
    // A shell's unset variable: the default, or the working directory, is not what was meant.
    for (const std::string& value : option->results()) {
      if (value.empty())
        throw ConfigError(option->get_name() + " is given an empty text; leave it out or fill it in");
    }
  }
  const std::vector<std::string> extra = command.remaining();
  if (extra.empty()) return;
  const std::string wrong = extra.front().substr(0, extra.front().find('='));
  std::vector<std::string> known;
  for (const CLI::Option* option : options) known.push_back(option->get_name());
  const bool option = wrong.starts_with("-");
  throw ConfigError((option ? "unknown option " : "unexpected argument ") + in_quotes(wrong) +
                    (option ? did_you_mean(wrong, known) : "") + "; see " + command.get_name() + " --help");
}

}  // namespace qmse::app
