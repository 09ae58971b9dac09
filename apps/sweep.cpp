#include "experiment/sweep/sweep.h"

#include <filesystem>
#include <iostream>
#include <memory>

#include "apps/commands.h"
#include "apps/json_events.h"
#include "apps/options.h"
#include "apps/sweep_display.h"
#include "apps/sweep_options.h"
#include "apps/tuning_text.h"
#include "base/error.h"
#include "base/in_quotes.h"
#include "base/text_file.h"

namespace qmse::app {

Command sweep_command() {
  Command command =
      make_command("qmse sweep", "Train every combination of settings in a file, as one job in one folder");
  CLI::Option* file =
      command.parser->add_option("FILE")->description(wrap_help("the sweep, a JSON object; see below"));
  CLI::Option* out = add_text_option(
      *command.parser, "--out", "DIR", "Sweep",
      "the sweep's folder; the same command again goes on with what is not finished (required)");
  CLI::Option* data =
      add_text_option(*command.parser, "--data", "DIR", "Sweep", "as for qmse train; part of the sweep");
  CLI::Option* fail_fast =
      command.parser->add_flag("--fail-fast")
          ->description(
              wrap_help("stop at the first member that fails, other than by a loss that is not finite; "
                        "the running ones write checkpoints"))
          ->group("Sweep");
  CLI::Option* checkpoints = add_text_option(
      *command.parser, "--keep-checkpoints", "all|none", "Sweep",
      "none: at the end the checkpoints of finished members are removed, which hold weights and optimizer "
      "state once more; these members keep their weights, and can no longer be made longer [all]");
  const auto options = std::make_shared<SweepOptions>(*command.parser);
  command.parser->footer(
      "Example\n"
      "  {\"base\": {\"dataset\": \"fashion-mnist\", \"epochs\": 5},\n"
      "   \"grid\": {\"loss\": [\"mse\", \"qmse\"], \"lr\": [0.01, 0.1], \"seed\": [1, 2, 3]},\n"
      "   \"members\": [{\"loss\": \"cross_entropy\", \"optimizer\": \"adam\", \"lr\": 0.001}]}\n"
      "  qmse sweep sweep.json --out runs/sweep\n"
      "  {\"base\": {\"dataset\": \"mnist\", \"validation\": 0.1}, \"grid\": {\"loss\": [\"mse\", "
      "\"qmse\"]},\n"
      "   \"sample\": {\"lr\": {\"log_uniform\": [0.001, 1]}, \"count\": 20, \"seed\": 1}}\n"
      "  mpirun -n 4 qmse sweep sweep.json --out /shared/sweep     four processes share the members\n"
      "\n" +
      wrap_help("Keys are the options of qmse train, spelt with underscores. Every combination of the grid "
                "is a member, and so is each entry of \"members\"; all have the settings of \"base\". "
                "\"sample\" draws settings at random, the same ones for each combination of the grid. DIR "
                "gets results.json and members/, a run directory for each. Any number of processes may work "
                "on one folder. Exit codes: 0 all finished, 1 a member failed, 2 wrong usage, 128 + N "
                "stopped by signal N (130 Ctrl-C, 143 SIGTERM).",
                kFooterWidth));
  command.action = [=] {
    if (file->count() == 0) throw ConfigError("qmse sweep FILE.json --out DIR: the file is missing");
    if (out->count() == 0) throw ConfigError("--out DIR is missing: where the sweep's files go");
    const std::unique_ptr<SweepDisplay> display = options->make_display();
    int shard = 0;
    const SweepOutcome outcome = with_failure_event(options->json(), [&] {
      const std::string source = file->as<std::string>();
      SweepRequest request;
      request.spec = parse_sweep(read_text_file(source), in_quotes(source));
      if (data->count() > 0) request.spec.base["data"] = data->as<std::string>();
      request.out = out->as<std::string>();
      request.fail_fast = fail_fast->count() > 0;
      const std::string kept = checkpoints->count() > 0 ? checkpoints->as<std::string>() : "all";
      if (kept != "all" && kept != "none")
        throw ConfigError("--keep-checkpoints must be all or none, not " + in_quotes(kept));
      request.keep_checkpoints = kept == "all";
      options->apply(request);
      shard = request.shard.index;
      complete(request.spec, in_quotes(source));
      return run_sweep(request, display_events(*display, request.shard));
    });
    // Once, and not by each of several processes.
    if (!options->json() && !outcome.stopped && shard == 0) {
      const std::string table = tuning_text(std::filesystem::path(out->as<std::string>()) / "members");
      if (!table.empty()) std::cout << table << '\n';
    }
    return finish_sweep(*display, outcome, out->as<std::string>());
  };
  return command;
}

}  // namespace qmse::app
