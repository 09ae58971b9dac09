#include "experiment/sweep/sweep.h"

#include <memory>

#include "apps/commands.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/sweep_display.h"
#include "apps/sweep_options.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"

namespace qmse::app {

Command sweep_command() {
  Command command =
      make_command("qmse sweep", "Train every combination of settings in a file, as one job in one folder");
  CLI::Option* file =
      command.parser->add_option("FILE")->description(wrap_help("the sweep, a JSON object; see below"));
  CLI::Option* out =
      add_text_option(*command.parser, "--out", "DIR", "Sweep",
                      "the sweep's folder; the same command again goes on with what is not finished");
  CLI::Option* data =
      add_text_option(*command.parser, "--data", "DIR", "Sweep", "as for qmse train; part of the sweep");
  const auto options = std::make_shared<SweepOptions>(*command.parser);
  command.parser->footer(
      "Example\n"
      "  {\"base\": {\"dataset\": \"fashion-mnist\", \"epochs\": 5},\n"
      "   \"grid\": {\"loss\": [\"mse\", \"qmse\"], \"lr\": [0.01, 0.1], \"seed\": [1, 2, 3]},\n"
      "   \"members\": [{\"loss\": \"cross_entropy\", \"optimizer\": \"adam\", \"lr\": 0.001}]}\n"
      "  qmse sweep sweep.json --out runs/sweep\n"
      "  mpirun -n 4 qmse sweep sweep.json --out /shared/sweep     four processes share the members\n"
      "\n" +
      wrap_help("Keys are the options of qmse train, spelt with underscores. Every combination of the grid "
                "is a member, and so is each entry of \"members\"; all have the settings of \"base\". DIR "
                "gets results.json and members/, a run directory for each. Any number of processes may work "
                "on one folder. Exit codes: 0 all finished, 1 a member failed, 2 wrong usage, 128 + N "
                "stopped by signal N (130 Ctrl-C, 143 SIGTERM).",
                kFooterWidth));
  command.action = [=] {
    if (file->count() == 0) throw ConfigError("qmse sweep FILE.json --out DIR: the file is missing");
    if (out->count() == 0) throw ConfigError("--out DIR is missing: where the sweep's files go");
    const std::unique_ptr<SweepDisplay> display = options->make_display();
    const SweepOutcome outcome = with_failure_event(options->json(), [&] {
      const std::string source = file->as<std::string>();
      SweepRequest request;
      request.spec = parse_sweep(read_text_file(source), in_quotes(source));
      if (data->count() > 0) request.spec.base["data"] = data->as<std::string>();
      request.out = out->as<std::string>();
      options->apply(request);
      complete(request.spec, in_quotes(source));
      return run_sweep(request, display_events(*display, request.shard));
    });
    return finish_sweep(*display, outcome, out->as<std::string>());
  };
  return command;
}

}  // namespace qmse::app
