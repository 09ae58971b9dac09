#include "apps/commands.h"

#include <algorithm>
#include <iostream>

#include "apps/manual.h"
#include "apps/options.h"
#include "base/build_config.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/words.h"
#include "experiment/run/config_fields.h"

namespace qmse::app {
namespace {

constexpr std::size_t kOptionColumn = 46;  // where the text beside an option begins

using Words = std::vector<std::string>;

bool asks_help(const std::string& word) { return word == "-h" || word == "--help"; }

// The command of `group` with this name; `path`: the words so far.
const Command& find_command(const Command& group, const std::string& path, const std::string& word) {
  if (const Command* command = find_named(group.commands, word)) return *command;
  const Words names = names_of(group.commands);
  throw ConfigError((word.starts_with("-") ? "unknown option " : "unknown command ") + in_quotes(word) +
                    did_you_mean(word, names) + ": use " + alternatives(names) + "; see " + path + " --help");
}

void no_more(const std::string& path, const Words& words) {
  if (!words.empty())
    throw ConfigError("unexpected argument " + in_quotes(words.front()) + "; see " + path + " --help");
}

// The help of the command that `words` lead to.
int print_help(const Command& command, const std::string& path, const Words& words) {
  if (!command.commands.empty() && !words.empty()) {
    return print_help(find_command(command, path, words.front()), path + " " + words.front(),
                      {words.begin() + 1, words.end()});
  }
  no_more(path, words);
  if (command.commands.empty()) {
    std::cout << command.parser->help();
    return 0;
  }
  CLI::App listing(command.summary, path);
  listing.get_formatter()->column_width(kOptionColumn);
  for (const Command& each : command.commands) listing.add_subcommand(each.name, each.summary);
  listing.footer(command.footer);
  std::cout << listing.help();
  return 0;
}

int run_parsed(const Command& command, Words words) {
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    command.parser->parse(std::move(words));
  } catch (const CLI::Success& help) {
    return command.parser->exit(help);
  } catch (const CLI::ParseError& error) {
    throw ConfigError(error.what());
  }
  check_command_line(*command.parser);
  return command.action();
}

int dispatch(const Command& command, const std::string& path, const Words& words) {
  if (command.commands.empty()) return run_parsed(command, words);
  if (words.empty()) {
    throw ConfigError("which command? " + path + " " + alternatives(names_of(command.commands)) + "; see " +
                      path + " --help");
  }
  const Words rest(words.begin() + 1, words.end());
  if (asks_help(words.front())) return print_help(command, path, rest);
  return dispatch(find_command(command, path, words.front()), path + " " + words.front(), rest);
}

}  // namespace

Command make_command(const std::string& path, const std::string& summary) {
  auto parser = std::make_shared<CLI::App>(summary, path);
  parser->get_formatter()->column_width(kOptionColumn);
  parser->allow_extras();
  return {.name = path.substr(path.rfind(' ') + 1), .summary = summary, .parser = std::move(parser)};
}

int run_command(const Command& program, const Words& words) {
  if (!words.empty()) {
    const Words rest(words.begin() + 1, words.end());
    if (words.front() == "help" && rest.size() == 1 && (rest[0] == "--man" || rest[0] == "--completion")) {
      std::cout << (rest[0] == "--man" ? man_page(program) : bash_completion(program));
      return 0;
    }
    if (words.front() == "help") return print_help(program, program.name, rest);
    if (words.front() == "version" || words.front() == "--version" || words.front() == "-V") {
      no_more(program.name, rest);
      std::cout << program.name << " " << QMSE_VERSION << '\n';
      return 0;
    }
  }
  return dispatch(program, program.name, words);
}

}  // namespace qmse::app
