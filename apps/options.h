// Command-line options from the table of settings.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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
