#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/split_option.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "experiment/report/report_table.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/plain_text.h"

namespace qmse::app {

Command predict_command() {
  Command command = make_command("qmse predict", "Write what trained weights say of each image, as CSV");
  CLI::Option* weights =
      add_text_option(*command.parser, "--weights", "FILE|RUN", "Weights", "as for qmse evaluate (required)");
  CLI::Option* split = add_split(*command.parser);
  CLI::Option* out = add_text_option(*command.parser, "--out", "FILE.csv", "Output", "(required)");
  const auto options = std::make_shared<ConfigOptions>(*command.parser, kEvaluate);
  command.parser->footer(
      "Example\n"
      "  qmse predict --weights runs/qmse --out predictions.csv\n"
      "\n" +
      wrap_help(
          "A line for each image, in the data set's order: its index from 0, label and prediction by name, "
          "and "
          "an output for each class. The prediction is the first largest output; none where one is not a "
          "number. Exit codes: 0 done, 1 failure, 2 wrong usage.",
          kFooterWidth));
  command.action = [=] {
    if (weights->count() == 0)
      throw ConfigError("--weights FILE is missing: a weights file or a run directory");
    if (out->count() == 0) throw ConfigError("--out FILE.csv is missing: where the predictions go");
    EvaluationRequest request;
    request.given = options->given();
    request.weights = weights->as<std::string>();
    request.split = split_from(*split);
    struct Row {
      std::int32_t label;
      std::vector<float> outputs;
    };
    std::vector<Row> rows;
    request.each = [&](std::int64_t, std::int32_t label, std::span<const float> outputs) {
      rows.push_back({label, {outputs.begin(), outputs.end()}});
    };
    const EvaluationReport report = evaluate(request);
    ReportTable table{{"index", "label", "prediction"}, {}};
    for (const std::string& name : report.class_names) table.header.push_back("output " + name);
    for (const Row& row : rows) {
      const bool nan =
          std::any_of(row.outputs.begin(), row.outputs.end(), [](float x) { return std::isnan(x); });
      const auto largest = std::max_element(row.outputs.begin(), row.outputs.end()) - row.outputs.begin();
      std::vector<std::string> cells = {std::to_string(table.rows.size()),
                                        report.class_names[static_cast<std::size_t>(row.label)],
                                        nan ? "" : report.class_names[static_cast<std::size_t>(largest)]};
      for (const float output : row.outputs) cells.push_back(significant_text(output, 9));
      table.rows.push_back(std::move(cells));
    }
    const auto file = out->as<std::string>();
    write_file_atomically(file, table_text(table, TableFormat::csv));
    if (!report.stale.empty()) std::cerr << "note: " << report.stale << '\n';
    std::cout << counted(rows.size(), "prediction") << " in " << file << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
