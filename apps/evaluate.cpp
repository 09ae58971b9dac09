#include "experiment/evaluation.h"

#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/options.h"
#include "kernels/core/error.h"

namespace qmse::app {

Command add_evaluate(CLI::App& program) {
  CLI::App* parser = program.add_subcommand(
      "evaluate", "Measure loss and accuracy of trained weights; prints one JSON object");
  CLI::Option* weights =
      add_text_option(*parser, "--weights", "FILE", "Weights",
                      "model.safetensors, a snapshot or a checkpoint of a run; it says architecture and "
                      "normalisation");
  CLI::Option* split = add_text_option(*parser, "--split", "train|test", "Data", "which images [test]");
  const auto options = std::make_shared<ConfigOptions>(*parser, kEvaluate);
  parser->footer(
      "Example\n"
      "  qmse evaluate --weights runs/qmse/model.safetensors --dataset mnist --data ~/data --loss qmse\n"
      "\n"
      "QMSE's loss is its expectation over v. The confusion matrix has a row for each label and a column for "
      "each prediction.");
  return {parser, [=] {
            TrainConfig config;
            apply_layer(config, options->given());
            if (weights->count() == 0) throw ConfigError("--weights FILE is missing");
            const std::string images = split->count() > 0 ? split->as<std::string>() : "test";
            if (images != "train" && images != "test")
              throw ConfigError("--split must be train or test, not '" + images + "'");
            const EvaluationReport report =
                evaluate(config, weights->as<std::string>(), images == "train" ? Split::train : Split::test);
            ConfigJson json;
            json["dataset"] = config.dataset;
            json["split"] = images;
            json["loss_name"] = config.loss;
            json["reduction"] = config.reduction;
            json.update(to_json(report));
            std::cout << json.dump() << '\n';
            return 0;
          }};
}

}  // namespace qmse::app
