#include <array>
#include <iostream>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/run_folders.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "experiment/report/run_export.h"
#include "experiment/report/tuning_report.h"

namespace qmse::app {
namespace {

enum class ExportFormat { csv, tensorboard, latex };
constexpr std::array<Choice<ExportFormat>, 3> choices(ExportFormat) {
  return {{{ExportFormat::csv, "csv"},
           {ExportFormat::tensorboard, "tensorboard"},
           {ExportFormat::latex, "latex"}}};
}

}  // namespace

Command export_command() {
  Command command = make_command("qmse export", "Write runs for other programs: CSV, TensorBoard, LaTeX");
  CLI::Option* folders = add_run_folders(*command.parser);
  CLI::Option* format =
      add_choice_option<ExportFormat>(*command.parser, "--format", "Output",
                                      "csv: a line for each epoch of each run; tensorboard: a folder of "
                                      "event files; latex: the table of qmse table (required)");
  CLI::Option* out =
      add_text_option(*command.parser, "--out", "PATH", "Output", "the file, or the folder (required)");
  command.parser->footer(
      "Examples\n"
      "  qmse export runs --format csv --out runs.csv\n"
      "  qmse export runs/sweep --format tensorboard --out events; tensorboard --logdir events\n"
      "  qmse export runs/sweep --format latex --out table.tex     as qmse table --format latex, which has "
      "choices\n");
  command.action = [=] {
    if (format->count() == 0)
      throw ConfigError("--format " + alternatives(choice_names<ExportFormat>()) + " is missing");
    if (out->count() == 0) throw ConfigError("--out PATH is missing: where it goes");
    const ExportFormat kind = chosen(*format, ExportFormat::csv);
    const std::filesystem::path path = out->as<std::string>();
    const std::vector<RunRecord> runs = runs_in(*folders);
    switch (kind) {
      case ExportFormat::csv:
        write_file_atomically(path, table_text(tidy_table(runs), TableFormat::csv));
        break;
      case ExportFormat::tensorboard:
        write_tensorboard(runs, path);
        break;
      case ExportFormat::latex:
        write_file_atomically(path, table_text(tuning_table(tune(group_runs(runs), {})), TableFormat::latex));
        break;
    }
    std::cout << path.string() << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
