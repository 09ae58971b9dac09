// The commands. Each names itself and its options and says what to do when it is chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qmse::app {

// A command, or a word that has commands of its own: "qmse", "qmse data".
struct Command {
  std::string name;                       // "train"
  std::string summary;                    // one line of --help
  std::string footer = {};                // the end of --help; with commands only, else it is the parser's
  std::shared_ptr<CLI::App> parser = {};  // of the words after the name; null with commands
  std::function<int()> action = {};       // once they are parsed: the exit code; throws what goes wrong
  std::vector<Command> commands = {};
};

// A command without options yet; `path` is all its words, "qmse train".
Command make_command(const std::string& path, const std::string& summary);

Command train_command();
Command sweep_command();
Command reproduce_command();
Command landscape_command();
Command evaluate_command();
Command inspect_command();
Command trace_command();
Command plot_command();
Command report_command();
Command predict_command();
Command export_command();
Command list_command();
Command watch_command();
Command table_command();
Command diff_command();
Command data_command();
Command data_fetch_command();
Command info_command();

// Does what `words`, those after the program's name, say, which is one command: the exit code. Prints help
// and version. ConfigError where they are wrong; whatever the command throws.
int run_command(const Command& program, const std::vector<std::string>& words);

}  // namespace qmse::app
