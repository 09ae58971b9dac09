#include "experiment/paper/reproduce.h"

#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/sweep_display.h"
#include "apps/sweep_options.h"
#include "base/error.h"
#include "experiment/run/config_fields.h"

namespace qmse::app {

Command reproduce_command() {
  Command command =
      make_command("qmse reproduce",
                   "Run the paper's experiments, and what they lack; draw the figures and say what is true");
  CLI::Option* which = command.parser->add_option("FIGURE")->description(
      wrap_help("fig1 (MNIST), fig2 (CIFAR-10), fig3 (CIFAR-100) or all (required)"));
  CLI::Option* out = add_text_option(*command.parser, "--out", "DIR", "Experiments",
                                     "where everything goes; the same command again goes on with it "
                                     "[runs/reproduce-FIGURE]");
  CLI::Option* paper_only =
      command.parser->add_flag("--paper-only")
          ->description(
              wrap_help("the paper's own runs alone: MSE and QMSE, element_mean, momentum 0 and 0.9"))
          ->group("Experiments");
  CLI::Option* epochs = add_text_option(*command.parser, "--epochs", "N", "Experiments", "of each run [100]");
  CLI::Option* seeds = add_text_option(*command.parser, "--seeds", "N", "Experiments", "seeds 1 to N [3]");
  CLI::Option* limit = add_text_option(*command.parser, "--train-limit", "N", "Experiments",
                                       "use the first N training images only; 0: all [0]");
  CLI::Option* data = add_text_option(*command.parser, "--data", "DIR", "Experiments", "as for qmse train");
  const auto options = std::make_shared<SweepOptions>(*command.parser);
  command.parser->footer(
      "Examples\n"
      "  qmse reproduce fig1 --epochs 3 --seeds 2 --train-limit 6000 --data ~/data     minutes on two cores\n"
      "  qmse reproduce all --paper-only --seeds 1                                     the paper's 12 runs\n"
      "\n" +
      wrap_help("DIR gets table.md, reproduction.json, report.html, the figures as SVG and PNG, and runs/, a "
                "sweep. On a CPU the time it will take is measured and said first. More seeds, or the runs "
                "that --paper-only leaves out, can be added by the same command with those options. Exit "
                "codes as for qmse sweep.",
                kFooterWidth));
  command.action = [=] {
    if (which->count() == 0) throw ConfigError("FIGURE is missing: fig1, fig2, fig3 or all");
    const auto figures = which->as<std::string>();
    ReproduceRequest request;
    ReproducePlan& plan = request.plan;
    plan.figures = parse_figures(figures);
    plan.paper_only = paper_only->count() > 0;
    const auto number = [](const CLI::Option* option, const char* field, std::int64_t usual) {
      if (option->count() == 0) return usual;
      return value_from_text(*find_field(field), option->results().front()).get<std::int64_t>();
    };
    plan.epochs = number(epochs, "epochs", plan.epochs);
    plan.train_limit = number(limit, "train_limit", plan.train_limit);
    if (seeds->count() > 0) plan.seeds = static_cast<std::int64_t>(whole_number(*seeds, 1, 1000));
    if (data->count() > 0) plan.data = data->as<std::string>();
    request.out = out->count() > 0 ? out->as<std::string>() : "runs/reproduce-" + figures;
    SweepRequest sweep;  // for the options they share
    options->apply(sweep);
    request.device = sweep.spec.base.value("device", request.device);
    request.threads = sweep.spec.base.value("threads", request.threads);
    request.jobs = sweep.jobs;
    request.shard = sweep.shard;
    const std::unique_ptr<SweepDisplay> display = options->make_display();
    const bool json = options->json();
    const ReproduceOutcome outcome =
        with_failure_event(json, [&] { return reproduce(request, display_events(*display, request.shard)); });
    if (!outcome.markdown.empty() && !json) {
      std::cout << '\n' << outcome.markdown;
      std::cout << "figures, table.md, reproduction.json and report.html are in " << request.out.string()
                << '\n';
    }
    return finish_sweep(*display, outcome.sweep, (request.out / "runs").string());
  };
  return command;
}

}  // namespace qmse::app
