#include <iostream>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "apps/terminal_line.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "experiment/report/run_list.h"

namespace qmse::app {

Command list_command() {
  Command command = make_command("qmse list", "List the runs in a folder: when, what, how each ended");
  CLI::Option* folder = add_folder(*command.parser, "where the runs are, at any depth [.]");
  CLI::Option* format = add_table_format(*command.parser, "");
  command.parser->footer(
      "Examples\n"
      "  qmse list runs\n"
      "  qmse list runs --format csv > runs.csv\n"
      "\n" +
      wrap_help(
          "The latest start comes last. Settings are those in which the runs differ; figures are of the "
          "last epoch there is. On a terminal long cells are cut to its width.",
          kFooterWidth));
  command.action = [=] {
    const TableFormat shape = table_format(*format);
    const std::filesystem::path where = folder->count() > 0 ? folder->as<std::string>() : ".";
    const RunsFound found = find_runs(where);
    if (found.runs.empty() && found.unreadable.empty())
      throw DataError(in_quotes(where) + ": neither a run directory nor a folder that holds any");
    ReportTable table = run_list(found, where, shape);
    const TerminalLine terminal;
    if (shape == TableFormat::text && terminal.rewrites()) table = fitted(std::move(table), terminal.room());
    std::cout << table_text(table, shape);
    return 0;
  };
  return command;
}

}  // namespace qmse::app
