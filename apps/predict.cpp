#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/number_text.h"
#include "experiment/report/report_table.h"
#include "experiment/run/evaluation.h"
#include "experiment/run/plain_text.h"

namespace qmse::app {

Command predict_command() {
  Command command =
      make_command("qmse predict", "Write what trained weights say of each image or row, as CSV");
  CLI::Option* weights =
      add_text_option(*command.parser, "--weights", "FILE|RUN", "Weights", "as for qmse evaluate (required)");
  CLI::Option* split = add_choice_option<Split>(*command.parser, "--split", "Data", "which images [test]");
  CLI::Option* out = add_text_option(*command.parser, "--out", "FILE.csv", "Output", "(required)");
  const auto options = std::make_shared<ConfigOptions>(*command.parser, kEvaluate);
  command.parser->footer(
      "Example\n"
      "  qmse predict --weights runs/qmse --out predictions.csv\n"
      "\n" +
      wrap_help(
          "A line for each image, in the data set's order: its index from 0, label and prediction by name, "
          "and an output for each class. The prediction is the first largest output; none where one is not a "
          "number. Of a table: the targets and what the model says they are, in the table's own units. Exit "
          "codes: 0 done, 1 failure, 2 wrong usage.",
          kFooterWidth));
  command.action = [=] {
    if (weights->count() == 0)
      throw ConfigError("--weights FILE is missing: a weights file or a run directory");
    if (out->count() == 0) throw ConfigError("--out FILE.csv is missing: where the predictions go");
    EvaluationRequest request;
    request.given = options->given();
    request.weights = weights->as<std::string>();
    request.split = chosen(*split, Split::test);
    ReportTable table;
    // The class names are known afterwards.
    std::vector<std::pair<std::int32_t, std::int32_t>> labels;  // label and prediction, -1: none
    request.each = [&](const Prediction& sample) {
      std::vector<std::string> cells = {std::to_string(sample.index)};
      const auto add = [&](double value) { cells.push_back(significant_text(value, 9)); };
      std::for_each(sample.targets.begin(), sample.targets.end(), add);
      std::for_each(sample.outputs.begin(), sample.outputs.end(), add);
      table.rows.push_back(std::move(cells));
      const bool nan = std::any_of(sample.outputs.begin(), sample.outputs.end(),
                                   [](double output) { return std::isnan(output); });
      const auto largest = std::max_element(sample.outputs.begin(), sample.outputs.end());
      labels.emplace_back(sample.label,
                          nan ? -1 : static_cast<std::int32_t>(largest - sample.outputs.begin()));
    };
    const EvaluationReport report = evaluate(request);
    table.header = {"index"};
    const auto name_of = [&](std::int32_t label) {
      return label < 0 ? "" : report.class_names[static_cast<std::size_t>(label)];
    };
    if (report.r2) {
      for (const std::string& name : report.class_names) table.header.push_back("target " + name);
    } else {
      table.header.insert(table.header.end(), {"label", "prediction"});
      for (std::size_t i = 0; i < table.rows.size(); ++i)
        table.rows[i].insert(table.rows[i].begin() + 1,
                             {name_of(labels[i].first), name_of(labels[i].second)});
    }
    for (const std::string& name : report.class_names) table.header.push_back("output " + name);
    const auto file = out->as<std::string>();
    write_file_atomically(file, table_text(table, TableFormat::csv));
    if (!report.stale.empty()) std::cerr << "note: " << report.stale << '\n';
    std::cout << counted(table.rows.size(), "prediction") << " in " << file << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
