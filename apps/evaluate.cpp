#include "experiment/run/evaluation.h"

#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "base/error.h"

namespace qmse::app {

Command evaluate_command() {
  Command command =
      make_command("qmse evaluate", "Measure loss and accuracy of trained weights; prints one JSON object");
  CLI::Option* weights = add_text_option(
      *command.parser, "--weights", "FILE|RUN", "Weights",
      "a run directory, for its model.safetensors, or that file, a snapshot or a checkpoint; they "
      "say architecture, normalisation, data set, classes and loss, which are the defaults (required)");
  CLI::Option* split = add_choice_option<Split>(*command.parser, "--split", "Data", "which images [test]");
  const auto options = std::make_shared<ConfigOptions>(*command.parser, kEvaluate);
  command.parser->footer(
      "Examples\n"
      "  qmse evaluate --weights runs/qmse\n"
      "  qmse evaluate --weights model.safetensors --data ~/data --split train\n"
      "  qmse evaluate --weights runs/qmse --dataset mnist        on images it was not trained on\n"
      "  qmse evaluate --weights plain.safetensors --model cnn --fc-width 64 --dataset mnist --loss mse\n"
      "\n" +
      wrap_help("QMSE's loss is its expectation over v. The confusion matrix has a row for each label and a "
                "column for each prediction; outputs that are not numbers are none, and counted in "
                "no_prediction. Of a file that qmse has not written, as PyTorch's save_file() makes it, the "
                "model and its "
                "widths, data set, loss and normalisation are those given. Where the classes have other "
                "names than those trained on, standard error says so. "
                "Exit codes: 0 done, 1 failure, 2 wrong usage.",
                kFooterWidth));
  command.action = [=] {
    EvaluationRequest request;
    request.given = options->given();
    if (weights->count() == 0)
      throw ConfigError("--weights FILE is missing: a weights file or a run directory");
    request.weights = weights->as<std::string>();
    request.split = chosen(*split, Split::test);
    const EvaluationReport report = evaluate(request);
    if (!report.stale.empty()) std::cerr << "note: " << report.stale << '\n';
    if (!report.difference.empty()) std::cerr << "note: " << report.difference << '\n';
    Json json = to_json(report);
    json["split"] = name(request.split);
    std::cout << json_line(json) << '\n';
    return 0;
  };
  return command;
}

}  // namespace qmse::app
