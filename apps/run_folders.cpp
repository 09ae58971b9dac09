#include "apps/run_folders.h"

#include <iostream>
#include <iterator>

#include "apps/options.h"
#include "base/error.h"
#include "base/in_quotes.h"

namespace qmse::app {

CLI::Option* add_run_folders(CLI::App& command) {
  return command.add_option("RUN")
      ->description(wrap_help("run directories, or folders with runs at any depth (required)"))
      ->type_name(" ")
      ->expected(1, -1)
      ->allow_extra_args();
}

std::vector<RunRecord> runs_in(const CLI::Option& folders) {
  if (folders.count() == 0) throw ConfigError("RUN is missing: a run directory, or a folder with runs");
  std::vector<RunRecord> runs;
  for (const auto& folder : folders.as<std::vector<std::string>>()) {
    RunsFound found = find_runs(folder);
    if (found.runs.empty()) {
      throw DataError(found.unreadable.empty()
                          ? in_quotes(folder) + ": neither a run directory nor a folder that holds any"
                          : found.unreadable.front().reason);
    }
    for (const UnreadableRun& run : found.unreadable) std::cerr << "left out: " << run.reason << '\n';
    std::move(found.runs.begin(), found.runs.end(), std::back_inserter(runs));
  }
  return runs;
}

CLI::Option* add_folder(CLI::App& command, const std::string& help) {
  return command.add_option("FOLDER")->description(wrap_help(help))->type_name(" ");
}

CLI::Option* add_table_format(CLI::App& command, const std::string& about) {
  return add_choice_option<TableFormat>(command, "--format", "Output", about + "[text]");
}

TableFormat table_format(const CLI::Option& option) { return chosen(option, TableFormat::text); }

}  // namespace qmse::app
