// What commands that read runs have in common: folders of runs, tables.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "experiment/report/report_table.h"
#include "experiment/run/run_record.h"

namespace qmse::app {

// The words "RUN ...": run directories, or folders with runs at any depth.
CLI::Option* add_run_folders(CLI::App& command);
// Every run in them. What cannot be read is named on standard error and left out, but for the only run of a
// folder: DataError. ConfigError where no folder was given.
std::vector<RunRecord> runs_in(const CLI::Option& folders);

// The word "FOLDER".
CLI::Option* add_folder(CLI::App& command, const std::string& help);

// The option --format of what prints a table; `about`: more on it, and the formats' default.
CLI::Option* add_table_format(CLI::App& command, const std::string& about);
TableFormat table_format(const CLI::Option& option);  // ConfigError for what is none

}  // namespace qmse::app
