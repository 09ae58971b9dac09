// Command-line options from the table of settings.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/in_quotes.h"
#include "base/parse_choice.h"
#include "experiment/run/config_fields.h"

namespace qmse::app {

// The options of one subcommand that stand for settings, and --config.
class ConfigOptions {
 public:
  // Adds to `command` every field that has one of `uses`, except those in `without`.
  ConfigOptions(CLI::App& command, unsigned uses, const std::vector<std::string>& without = {});

  // What the file of --config and the command line gave, the command line winning (overlay()). ConfigError
  // where an option's value is wrong.
  Json given() const;

 private:
  struct Entry {
    const ConfigField* field;
    CLI::Option* option;
  };
  std::vector<Entry> entries_;
  CLI::Option* config_file_;
};

// An option with one text that is no setting: "--weights FILE".
// Its value is option->as<std::string>() where given.
CLI::Option* add_text_option(CLI::App& command, const std::string& name, const std::string& placeholder,
                             const std::string& group, const std::string& help);

// The same for an option whose text is the name of a choice (base/choice.h).
template <class Enum>
CLI::Option* add_choice_option(CLI::App& command, const std::string& name, const std::string& group,
                               const std::string& help) {
  return add_text_option(command, name, join(choice_names<Enum>(), "|"), group, help);
}
// What was chosen, or `usual` where the option is not given. ConfigError for what is none of the names.
template <class Enum>
Enum chosen(const CLI::Option& option, Enum usual) {
  if (option.count() == 0) return usual;
  const auto text = option.as<std::string>();
  if (const auto value = find_choice<Enum>(text)) return *value;
  throw ConfigError(option.get_name() + " must be " + alternatives(choice_names<Enum>()) + ", not " +
                    in_quotes(text));
}

// The word NAME of a data set, and what was given; ConfigError where nothing was.
CLI::Option* add_dataset_name(CLI::App& command);
std::string dataset_name(const CLI::Option& option);

// The value of a given option: a whole number from low to high, else ConfigError.
std::uint64_t whole_number(const CLI::Option& option, std::uint64_t low, std::uint64_t high);

// Likewise a finite number above 0.
double positive_number(const CLI::Option& option);

// Throws ConfigError where an option is given more than once, or the command line has words that are no
// option of `command`.
void check_command_line(const CLI::App& command);

// `text` in lines that fit beside the options of --help, or below them.
inline constexpr std::size_t kHelpWidth = 72, kFooterWidth = 116;
std::string wrap_help(const std::string& text, std::size_t width = kHelpWidth);

}  // namespace qmse::app
